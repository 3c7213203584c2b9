/* Generated from the tables (make specs); do not edit. */
mtype = { MODULE_BLANK, MODULE_IDENTIFYING, MODULE_PREPARING, MODULE_IDENTIFIED, MODULE_DELIVERED, MODULE_SECURED, MODULE_KEYING, MODULE_PROVING, MODULE_KEYED, MODULE_WAITING, MODULE_CONFIRMING, MODULE_OPERATING, MODULE_RESET };
mtype = { UNIT_READY, UNIT_AWAITING_KEY, UNIT_COMPARING, UNIT_QUEUING, UNIT_APPROVING, UNIT_CERTIFYING, UNIT_AWAITING_CONFIRMATION, UNIT_PERSONALIZED, UNIT_UNCONFIRMED, UNIT_AWAITING_STATUS, UNIT_REPORTED, UNIT_FAILED };
mtype = { WORK_OPERATING, WORK_CALLING, WORK_ONLINE, WORK_LOADING, WORK_CHALLENGED, WORK_RESET };
mtype = { CENTRAL_LISTENING, CENTRAL_GREETING, CENTRAL_RECOGNIZING, CENTRAL_ONLINE, CENTRAL_CHECKING, CENTRAL_DECIDING, CENTRAL_SETTLING, CENTRAL_WRAPPING, CENTRAL_RESETTING, CENTRAL_COMMANDING, CENTRAL_COMMANDED, CENTRAL_ENDED };
mtype = { ChannelOpened, GenerateKeyPair, KeyPairMade, Signed, ApprovalAwaited, Certificates, ChannelLost, DeadlinePassed, KeyOperationFailed, ModuleKey, Personalized, Status, FingerprintsAgree, FingerprintsDiffer, JobQueued, JobApproved, JobDropped, ModuleCertified, CardRefused, Welcome, AuthorizationWanted, PayOut, ResetRequest, ResetCommand, ResetByHand, Greeting, Beat, Authorize, ResetChallenge, ResetDone, ModuleFound, AttentionCalled, Decided };

/* module */
inline module_step(d) {
  if
  :: module_state == MODULE_DELIVERED && event == ChannelOpened ->
     if
     :: (x == PERSONALIZE) ->
        module_state = MODULE_SECURED;
        skip
     :: else ->
        refused = true
     fi
  :: module_state == MODULE_SECURED && event == KeyOperationFailed ->
     if
     :: (condition[d] == MODULE_RESET) ->
        module_state = MODULE_RESET;
        MODULE_CLOSE();
        skip
     :: else ->
        module_state = MODULE_DELIVERED;
        MODULE_CLOSE();
        skip
     fi
  :: module_state == MODULE_SECURED && event == GenerateKeyPair ->
     if
     :: (x == MANUFACTURE_ADMITTED && epoch[d] == 0) ->
        module_state = MODULE_PROVING;
        m_key = MADE_BEFORE;
        MODULE_ASK(Signed);
        skip
     :: else ->
        module_state = MODULE_KEYING;
        MODULE_ASK(KeyPairMade);
        skip
     fi
  :: module_state == MODULE_SECURED && event == ChannelLost ->
     if
     :: (condition[d] == MODULE_RESET) ->
        module_state = MODULE_RESET;
        MODULE_CLOSE();
        skip
     :: else ->
        module_state = MODULE_DELIVERED;
        MODULE_CLOSE();
        skip
     fi
  :: module_state == MODULE_SECURED && event == DeadlinePassed ->
     if
     :: (condition[d] == MODULE_RESET) ->
        module_state = MODULE_RESET;
        MODULE_CLOSE();
        skip
     :: else ->
        module_state = MODULE_DELIVERED;
        MODULE_CLOSE();
        skip
     fi
  :: module_state == MODULE_KEYING && event == KeyPairMade ->
     module_state = MODULE_PROVING;
     FRESH(m_key);
     MODULE_ASK(Signed);
     skip
  :: module_state == MODULE_KEYING && event == KeyOperationFailed ->
     if
     :: (condition[d] == MODULE_RESET) ->
        module_state = MODULE_RESET;
        MODULE_CLOSE();
        skip
     :: else ->
        module_state = MODULE_DELIVERED;
        MODULE_CLOSE();
        skip
     fi
  :: module_state == MODULE_KEYING && event == ChannelLost ->
     if
     :: (condition[d] == MODULE_RESET) ->
        module_state = MODULE_RESET;
        MODULE_CLOSE();
        skip
     :: else ->
        module_state = MODULE_DELIVERED;
        MODULE_CLOSE();
        skip
     fi
  :: module_state == MODULE_KEYING && event == DeadlinePassed ->
     if
     :: (condition[d] == MODULE_RESET) ->
        module_state = MODULE_RESET;
        MODULE_CLOSE();
        skip
     :: else ->
        module_state = MODULE_DELIVERED;
        MODULE_CLOSE();
        skip
     fi
  :: module_state == MODULE_PROVING && event == KeyOperationFailed ->
     if
     :: (condition[d] == MODULE_RESET) ->
        module_state = MODULE_RESET;
        MODULE_CLOSE();
        skip
     :: else ->
        module_state = MODULE_DELIVERED;
        MODULE_CLOSE();
        skip
     fi
  :: module_state == MODULE_PROVING && event == Signed ->
     module_state = MODULE_KEYED;
     MODULE_SEND(ModuleKey, m_key, m_link);
     skip
  :: module_state == MODULE_PROVING && event == ChannelLost ->
     if
     :: (condition[d] == MODULE_RESET) ->
        module_state = MODULE_RESET;
        MODULE_CLOSE();
        skip
     :: else ->
        module_state = MODULE_DELIVERED;
        MODULE_CLOSE();
        skip
     fi
  :: module_state == MODULE_PROVING && event == DeadlinePassed ->
     if
     :: (condition[d] == MODULE_RESET) ->
        module_state = MODULE_RESET;
        MODULE_CLOSE();
        skip
     :: else ->
        module_state = MODULE_DELIVERED;
        MODULE_CLOSE();
        skip
     fi
  :: module_state == MODULE_KEYED && event == KeyOperationFailed ->
     if
     :: (condition[d] == MODULE_RESET) ->
        module_state = MODULE_RESET;
        MODULE_CLOSE();
        skip
     :: else ->
        module_state = MODULE_DELIVERED;
        MODULE_CLOSE();
        skip
     fi
  :: module_state == MODULE_KEYED && event == ApprovalAwaited ->
     module_state = MODULE_WAITING;
     skip
  :: module_state == MODULE_KEYED && event == Certificates ->
     if
     :: (false) ->
        module_state = MODULE_CONFIRMING;
        m_staged = x; m_issuer = y;
        MODULE_ASK(Signed);
        skip
     :: else ->
        if
        :: (x == m_key && y == CARD) ->
           module_state = MODULE_CONFIRMING;
           m_staged = x; m_issuer = y;
           MODULE_ASK(Signed);
           skip
        :: else ->
           refused = true
        fi
     fi
  :: module_state == MODULE_KEYED && event == ChannelLost ->
     if
     :: (condition[d] == MODULE_RESET) ->
        module_state = MODULE_RESET;
        MODULE_CLOSE();
        skip
     :: else ->
        module_state = MODULE_DELIVERED;
        MODULE_CLOSE();
        skip
     fi
  :: module_state == MODULE_KEYED && event == DeadlinePassed ->
     if
     :: (condition[d] == MODULE_RESET) ->
        module_state = MODULE_RESET;
        MODULE_CLOSE();
        skip
     :: else ->
        module_state = MODULE_DELIVERED;
        MODULE_CLOSE();
        skip
     fi
  :: module_state == MODULE_WAITING && event == KeyOperationFailed ->
     if
     :: (condition[d] == MODULE_RESET) ->
        module_state = MODULE_RESET;
        MODULE_CLOSE();
        skip
     :: else ->
        module_state = MODULE_DELIVERED;
        MODULE_CLOSE();
        skip
     fi
  :: module_state == MODULE_WAITING && event == Certificates ->
     if
     :: (x == m_key && y == CARD) ->
        module_state = MODULE_CONFIRMING;
        m_staged = x; m_issuer = y;
        MODULE_ASK(Signed);
        skip
     :: else ->
        refused = true
     fi
  :: module_state == MODULE_WAITING && event == ChannelLost ->
     if
     :: (condition[d] == MODULE_RESET) ->
        module_state = MODULE_RESET;
        MODULE_CLOSE();
        skip
     :: else ->
        module_state = MODULE_DELIVERED;
        MODULE_CLOSE();
        skip
     fi
  :: module_state == MODULE_WAITING && event == DeadlinePassed ->
     if
     :: (condition[d] == MODULE_RESET) ->
        module_state = MODULE_RESET;
        MODULE_CLOSE();
        skip
     :: else ->
        module_state = MODULE_DELIVERED;
        MODULE_CLOSE();
        skip
     fi
  :: module_state == MODULE_CONFIRMING && event == KeyOperationFailed ->
     if
     :: (condition[d] == MODULE_RESET) ->
        module_state = MODULE_RESET;
        MODULE_CLOSE();
        skip
     :: else ->
        module_state = MODULE_DELIVERED;
        MODULE_CLOSE();
        skip
     fi
  :: module_state == MODULE_CONFIRMING && event == Signed ->
     module_state = MODULE_OPERATING;
     if
     :: POWER_FAILS(d) -> dark = true
     :: POWER_FAILS(d) -> KEEP(d); dark = true
     :: KEEP(d);
        MODULE_SEND(Personalized, m_staged, m_link);
        MODULE_CLOSE();
        skip
     fi
  :: module_state == MODULE_CONFIRMING && event == ChannelLost ->
     if
     :: (condition[d] == MODULE_RESET) ->
        module_state = MODULE_RESET;
        MODULE_CLOSE();
        skip
     :: else ->
        module_state = MODULE_DELIVERED;
        MODULE_CLOSE();
        skip
     fi
  :: module_state == MODULE_CONFIRMING && event == DeadlinePassed ->
     if
     :: (condition[d] == MODULE_RESET) ->
        module_state = MODULE_RESET;
        MODULE_CLOSE();
        skip
     :: else ->
        module_state = MODULE_DELIVERED;
        MODULE_CLOSE();
        skip
     fi
  :: module_state == MODULE_OPERATING && event == ChannelOpened ->
     if
     :: (x == STATUS) ->
        module_state = MODULE_OPERATING;
        MODULE_SEND(Status, 0, 0);
        MODULE_CLOSE();
        skip
     :: else ->
        refused = true
     fi
  :: module_state == MODULE_RESET && event == ChannelOpened ->
     if
     :: (x == PERSONALIZE) ->
        module_state = MODULE_SECURED;
        skip
     :: else ->
        refused = true
     fi
  :: else -> refused = true
  fi
}

/* unit */
inline unit_step(d) {
  if
  :: unit_state[d] == UNIT_READY && event == ChannelOpened ->
     if
     :: (x == PERSONALIZE && u_job[d]) ->
        unit_state[d] = UNIT_AWAITING_KEY;
        UNIT_SEND(GenerateKeyPair, POLICY, 0);
        skip
     :: else ->
        if
        :: (x == STATUS) ->
           unit_state[d] = UNIT_AWAITING_STATUS;
           skip
        :: else ->
           if
           :: (x == PERSONALIZE && !u_job[d]) ->
              unit_state[d] = UNIT_FAILED;
              UNIT_CLOSE();
              skip
           :: else ->
              refused = true
           fi
        fi
     fi
  :: unit_state[d] == UNIT_READY && event == ChannelLost ->
     unit_state[d] = UNIT_FAILED;
     UNIT_CLOSE();
     skip
  :: unit_state[d] == UNIT_AWAITING_KEY && event == ModuleKey ->
     if
     :: (QUEUED && CERTIFIED && y == u_link[d]) ->
        unit_state[d] = UNIT_QUEUING;
        u_key[d] = x;
        UNIT_ASK(JobQueued);
        skip
     :: else ->
        if
        :: (CERTIFIED && y == u_link[d]) ->
           unit_state[d] = UNIT_CERTIFYING;
           u_key[d] = x;
           UNIT_ASK(ModuleCertified);
           skip
        :: else ->
           if
           :: (y == u_link[d]) ->
              unit_state[d] = UNIT_COMPARING;
              u_key[d] = x;
              UNIT_ASK(FingerprintsAgree);
              skip
           :: else ->
              refused = true
           fi
        fi
     fi
  :: unit_state[d] == UNIT_AWAITING_KEY && event == ChannelLost ->
     unit_state[d] = UNIT_FAILED;
     UNIT_CLOSE();
     skip
  :: unit_state[d] == UNIT_AWAITING_KEY && event == DeadlinePassed ->
     unit_state[d] = UNIT_FAILED;
     UNIT_CLOSE();
     skip
  :: unit_state[d] == UNIT_COMPARING && event == FingerprintsAgree ->
     unit_state[d] = UNIT_CERTIFYING;
     UNIT_ASK(ModuleCertified);
     skip
  :: unit_state[d] == UNIT_COMPARING && event == FingerprintsDiffer ->
     unit_state[d] = UNIT_FAILED;
     UNIT_CLOSE();
     skip
  :: unit_state[d] == UNIT_COMPARING && event == ChannelLost ->
     unit_state[d] = UNIT_FAILED;
     UNIT_CLOSE();
     skip
  :: unit_state[d] == UNIT_COMPARING && event == DeadlinePassed ->
     unit_state[d] = UNIT_FAILED;
     UNIT_CLOSE();
     skip
  :: unit_state[d] == UNIT_QUEUING && event == JobQueued ->
     unit_state[d] = UNIT_APPROVING;
     UNIT_SEND(ApprovalAwaited, 0, 0);
     skip
  :: unit_state[d] == UNIT_QUEUING && event == CardRefused ->
     unit_state[d] = UNIT_FAILED;
     UNIT_CLOSE();
     skip
  :: unit_state[d] == UNIT_QUEUING && event == ChannelLost ->
     unit_state[d] = UNIT_FAILED;
     UNIT_CLOSE();
     skip
  :: unit_state[d] == UNIT_APPROVING && event == JobApproved ->
     unit_state[d] = UNIT_CERTIFYING;
     UNIT_ASK(ModuleCertified);
     skip
  :: unit_state[d] == UNIT_APPROVING && event == JobDropped ->
     unit_state[d] = UNIT_FAILED;
     UNIT_CLOSE();
     skip
  :: unit_state[d] == UNIT_APPROVING && event == ChannelLost ->
     unit_state[d] = UNIT_FAILED;
     UNIT_CLOSE();
     skip
  :: unit_state[d] == UNIT_APPROVING && event == DeadlinePassed ->
     unit_state[d] = UNIT_FAILED;
     UNIT_CLOSE();
     skip
  :: unit_state[d] == UNIT_CERTIFYING && event == ModuleCertified ->
     unit_state[d] = UNIT_AWAITING_CONFIRMATION;
     UNIT_SEND(Certificates, u_key[d], CARD);
     skip
  :: unit_state[d] == UNIT_CERTIFYING && event == CardRefused ->
     unit_state[d] = UNIT_FAILED;
     UNIT_CLOSE();
     skip
  :: unit_state[d] == UNIT_CERTIFYING && event == ChannelLost ->
     unit_state[d] = UNIT_FAILED;
     UNIT_CLOSE();
     skip
  :: unit_state[d] == UNIT_AWAITING_CONFIRMATION && event == Personalized ->
     if
     :: (x == u_key[d] && y == u_link[d]) ->
        unit_state[d] = UNIT_PERSONALIZED;
        CONFIRMED(u_key[d]);
        UNIT_CLOSE();
        skip
     :: else ->
        refused = true
     fi
  :: unit_state[d] == UNIT_AWAITING_CONFIRMATION && event == ChannelLost ->
     unit_state[d] = UNIT_UNCONFIRMED;
     UNIT_CLOSE();
     skip
  :: unit_state[d] == UNIT_AWAITING_CONFIRMATION && event == DeadlinePassed ->
     unit_state[d] = UNIT_UNCONFIRMED;
     UNIT_CLOSE();
     skip
  :: unit_state[d] == UNIT_AWAITING_STATUS && event == Status ->
     unit_state[d] = UNIT_REPORTED;
     UNIT_CLOSE();
     skip
  :: unit_state[d] == UNIT_AWAITING_STATUS && event == ChannelLost ->
     unit_state[d] = UNIT_FAILED;
     UNIT_CLOSE();
     skip
  :: unit_state[d] == UNIT_AWAITING_STATUS && event == DeadlinePassed ->
     unit_state[d] = UNIT_FAILED;
     UNIT_CLOSE();
     skip
  :: else -> refused = true
  fi
}

/* module-at-work */
inline work_step(d) {
  if
  :: work_state[d] == WORK_OPERATING && event == ChannelOpened ->
     if
     :: (pinned[d]) ->
        work_state[d] = WORK_CALLING;
        if
        :: POWER_FAILS(d) -> dark = true
        :: POWER_FAILS(d) -> generation[d]++; dark = true
        :: generation[d]++;
           WORK_SEND(Greeting, epoch[d], generation[d]);
           skip
        fi
     :: else ->
        refused = true
     fi
  :: work_state[d] == WORK_OPERATING && event == ResetByHand ->
     work_state[d] = WORK_RESET;
     if
     :: POWER_FAILS(d) -> dark = true
     :: POWER_FAILS(d) -> ERASE(d); dark = true
     :: ERASE(d);
        WORK_CLOSE();
        skip
     fi
  :: work_state[d] == WORK_CALLING && event == Welcome ->
     work_state[d] = WORK_ONLINE;
     if
     :: POWER_FAILS(d) -> dark = true
     :: POWER_FAILS(d) -> generation[d]++; dark = true
     :: generation[d]++;
        skip
     fi
  :: work_state[d] == WORK_CALLING && event == DeadlinePassed ->
     work_state[d] = WORK_OPERATING;
     WORK_CLOSE();
     skip
  :: work_state[d] == WORK_CALLING && event == ChannelLost ->
     work_state[d] = WORK_OPERATING;
     WORK_CLOSE();
     skip
  :: work_state[d] == WORK_CALLING && event == ResetRequest ->
     if
     :: (x == epoch[d]) ->
        work_state[d] = WORK_CHALLENGED;
        WORK_SEND(ResetChallenge, w_link[d], epoch[d]);
        skip
     :: else ->
        refused = true
     fi
  :: work_state[d] == WORK_CALLING && event == ResetByHand ->
     work_state[d] = WORK_RESET;
     if
     :: POWER_FAILS(d) -> dark = true
     :: POWER_FAILS(d) -> ERASE(d); dark = true
     :: ERASE(d);
        WORK_CLOSE();
        skip
     fi
  :: work_state[d] == WORK_ONLINE && event == DeadlinePassed ->
     if
     :: (false) ->
        work_state[d] = WORK_ONLINE;
        WORK_SEND(Beat, 0, 0);
        skip
     :: else ->
        work_state[d] = WORK_OPERATING;
        WORK_CLOSE();
        skip
     fi
  :: work_state[d] == WORK_ONLINE && event == ChannelLost ->
     work_state[d] = WORK_OPERATING;
     WORK_CLOSE();
     skip
  :: work_state[d] == WORK_ONLINE && event == AuthorizationWanted ->
     if
     :: true ->
        work_state[d] = WORK_ONLINE;
        if
        :: POWER_FAILS(d) -> dark = true
        :: POWER_FAILS(d) -> generation[d]++; dark = true
        :: generation[d]++;
           WORK_SEND(Authorize, 0, 0);
           skip
        fi
     :: true ->
        refused = true
     fi
  :: work_state[d] == WORK_ONLINE && event == PayOut ->
     if
     :: true ->
        work_state[d] = WORK_ONLINE;
        if
        :: POWER_FAILS(d) -> dark = true
        :: POWER_FAILS(d) -> generation[d]++; dark = true
        :: generation[d]++;
           skip
        fi
     :: true ->
        if
        :: true ->
           work_state[d] = WORK_ONLINE;
           skip
        :: true ->
           refused = true
        fi
     fi
  :: work_state[d] == WORK_ONLINE && event == ResetByHand ->
     work_state[d] = WORK_RESET;
     if
     :: POWER_FAILS(d) -> dark = true
     :: POWER_FAILS(d) -> ERASE(d); dark = true
     :: ERASE(d);
        WORK_CLOSE();
        skip
     fi
  :: work_state[d] == WORK_CHALLENGED && event == DeadlinePassed ->
     work_state[d] = WORK_OPERATING;
     WORK_CLOSE();
     skip
  :: work_state[d] == WORK_CHALLENGED && event == ChannelLost ->
     work_state[d] = WORK_OPERATING;
     WORK_CLOSE();
     skip
  :: work_state[d] == WORK_CHALLENGED && event == ResetCommand ->
     if
     :: (x == w_link[d] && y == epoch[d]) ->
        work_state[d] = WORK_RESET;
        if
        :: POWER_FAILS(d) -> dark = true
        :: POWER_FAILS(d) -> ERASE(d); dark = true
        :: ERASE(d);
           WORK_SEND(ResetDone, epoch[d], 0);
           WORK_CLOSE();
           skip
        fi
     :: else ->
        refused = true
     fi
  :: work_state[d] == WORK_CHALLENGED && event == ResetByHand ->
     work_state[d] = WORK_RESET;
     if
     :: POWER_FAILS(d) -> dark = true
     :: POWER_FAILS(d) -> ERASE(d); dark = true
     :: ERASE(d);
        WORK_CLOSE();
        skip
     fi
  :: else -> refused = true
  fi
}

/* central */
inline central_step(d) {
  if
  :: central_state[d] == CENTRAL_LISTENING && event == ChannelOpened ->
     central_state[d] = CENTRAL_GREETING;
     skip
  :: central_state[d] == CENTRAL_LISTENING && event == ChannelLost ->
     central_state[d] = CENTRAL_ENDED;
     CENTRAL_CLOSE();
     skip
  :: central_state[d] == CENTRAL_GREETING && event == Greeting ->
     central_state[d] = CENTRAL_RECOGNIZING;
     c_epoch[d] = x; c_generation[d] = y; c_stale[d] = false;
     CENTRAL_ASK(ModuleFound);
     skip
  :: central_state[d] == CENTRAL_GREETING && event == ChannelLost ->
     central_state[d] = CENTRAL_ENDED;
     CENTRAL_CLOSE();
     skip
  :: central_state[d] == CENTRAL_GREETING && event == DeadlinePassed ->
     central_state[d] = CENTRAL_ENDED;
     CENTRAL_CLOSE();
     skip
  :: central_state[d] == CENTRAL_RECOGNIZING && event == ModuleFound ->
     if
     :: (ENTERED && r_standing != WORKING && GREETED(d) && c_epoch[d] == r_epoch) ->
        central_state[d] = CENTRAL_RESETTING;
        c_held[d] = r_epoch;
        CENTRAL_SEND(ResetRequest, r_epoch, 0);
        skip
     :: else ->
        if
        :: (false) ->
           central_state[d] = CENTRAL_ENDED;
           if
           :: c_stale[d] -> central_state[d] = CENTRAL_RECOGNIZING; refused = true
           :: else -> skip;
              CENTRAL_CLOSE();
              skip
           fi
        :: else ->
           if
           :: (!ENTERED || (c_shown[d] == r_certificate -> SAME(d) : NEWER(d))) ->
              central_state[d] = CENTRAL_ONLINE;
              if
              :: c_stale[d] -> central_state[d] = CENTRAL_RECOGNIZING; refused = true
              :: else -> REGISTER(d);
                 CENTRAL_SEND(Welcome, 0, 0);
                 skip;
                 skip
              fi
           :: else ->
              refused = true
           fi
        fi
     fi
  :: central_state[d] == CENTRAL_RECOGNIZING && event == ChannelLost ->
     central_state[d] = CENTRAL_ENDED;
     CENTRAL_CLOSE();
     skip
  :: central_state[d] == CENTRAL_ONLINE && event == ModuleFound ->
     if
     :: (ENTERED && r_standing != WORKING && GREETED(d) && c_epoch[d] == r_epoch) ->
        central_state[d] = CENTRAL_ENDED;
        CENTRAL_CLOSE();
        skip
     :: else ->
        if
        :: (false) ->
           central_state[d] = CENTRAL_ENDED;
           if
           :: c_stale[d] -> central_state[d] = CENTRAL_ONLINE; refused = true
           :: else -> skip;
              CENTRAL_CLOSE();
              skip
           fi
        :: else ->
           if
           :: (c_shown[d] == r_certificate) ->
              central_state[d] = CENTRAL_ONLINE;
              c_held[d] = r_epoch;
              skip;
              skip
           :: else ->
              refused = true
           fi
        fi
     fi
  :: central_state[d] == CENTRAL_ONLINE && event == AttentionCalled ->
     central_state[d] = CENTRAL_ONLINE;
     c_stale[d] = false;
     CENTRAL_ASK(ModuleFound);
     skip
  :: central_state[d] == CENTRAL_ONLINE && event == Authorize ->
     central_state[d] = CENTRAL_DECIDING;
     if
     :: c_stale[d] -> central_state[d] = CENTRAL_ONLINE; refused = true
     :: else -> DECIDE(d);
        CENTRAL_ASK(Decided);
        skip
     fi
  :: central_state[d] == CENTRAL_ONLINE && event == ChannelLost ->
     central_state[d] = CENTRAL_ENDED;
     CENTRAL_CLOSE();
     skip
  :: central_state[d] == CENTRAL_ONLINE && event == DeadlinePassed ->
     central_state[d] = CENTRAL_ENDED;
     CENTRAL_CLOSE();
     skip
  :: central_state[d] == CENTRAL_DECIDING && event == Decided ->
     central_state[d] = CENTRAL_ONLINE;
     if
     :: c_stale[d] -> central_state[d] = CENTRAL_DECIDING; refused = true
     :: else -> DECIDE(d);
        CENTRAL_SEND(PayOut, 0, 0);
        skip
     fi
  :: central_state[d] == CENTRAL_DECIDING && event == ChannelLost ->
     central_state[d] = CENTRAL_ENDED;
     CENTRAL_CLOSE();
     skip
  :: central_state[d] == CENTRAL_RESETTING && event == ResetChallenge ->
     if
     :: (y == c_held[d]) ->
        central_state[d] = CENTRAL_COMMANDING;
        c_challenge[d] = x;
        CENTRAL_ASK(Signed);
        skip
     :: else ->
        refused = true
     fi
  :: central_state[d] == CENTRAL_RESETTING && event == ChannelLost ->
     central_state[d] = CENTRAL_ENDED;
     CENTRAL_CLOSE();
     skip
  :: central_state[d] == CENTRAL_RESETTING && event == DeadlinePassed ->
     central_state[d] = CENTRAL_ENDED;
     CENTRAL_CLOSE();
     skip
  :: central_state[d] == CENTRAL_COMMANDING && event == KeyOperationFailed ->
     central_state[d] = CENTRAL_ENDED;
     CENTRAL_CLOSE();
     skip
  :: central_state[d] == CENTRAL_COMMANDING && event == Signed ->
     central_state[d] = CENTRAL_COMMANDED;
     CENTRAL_SEND(ResetCommand, c_challenge[d], c_held[d]);
     skip
  :: central_state[d] == CENTRAL_COMMANDING && event == ChannelLost ->
     central_state[d] = CENTRAL_ENDED;
     CENTRAL_CLOSE();
     skip
  :: central_state[d] == CENTRAL_COMMANDED && event == ResetDone ->
     if
     :: (x == c_held[d] + 1) ->
        central_state[d] = CENTRAL_ENDED;
        if
        :: c_stale[d] -> central_state[d] = CENTRAL_COMMANDED; refused = true
        :: else -> STRIKE_OFF(d);
           CENTRAL_CLOSE();
           skip
        fi
     :: else ->
        refused = true
     fi
  :: central_state[d] == CENTRAL_COMMANDED && event == ChannelLost ->
     central_state[d] = CENTRAL_ENDED;
     CENTRAL_CLOSE();
     skip
  :: central_state[d] == CENTRAL_COMMANDED && event == DeadlinePassed ->
     central_state[d] = CENTRAL_ENDED;
     CENTRAL_CLOSE();
     skip
  :: else -> refused = true
  fi
}
