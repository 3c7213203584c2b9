/* The life of one module among units, people, its central system and an attacker, around the tables of tables.pml.

   What is written here is the surroundings: links, people, the card, the registry, power, the attacker. What a party
   does is in tables.pml, which is generated; what its guards and actions mean here is in abstraction.py.

   The attacker cuts every link at any moment, copies the module's store while it works and goes on with the copy.
   Where nobody is certified (BY_CABLE: the physical option) he also sits at any end of a cable, knows every
   certificate, has a key of his own, and says again what he heard. The rest is the channel's: nobody gets into one that
   was opened with somebody else.

   A fourth way is CERTIFIED with a unit in his hands, its card included: then he is at the end of a certified channel,
   and has any key certified.

   When `calm` has come (any time), nobody disturbs any more, deadlines pass only when nothing else can happen, and
   module and people go on until the module works. */

#ifndef WAYS
#define WAYS 4        /* how channels with units are made: the first so many of the ways below, one in each run */
#endif
#ifndef UNITS
#define UNITS 1
#endif
#ifndef LINKS
#define LINKS 3       /* channels before it is calm */
#endif
#ifndef POWER_CUTS
#define POWER_CUTS 1
#endif
#ifndef RESETS
#define RESETS 1      /* ordered by the operator, and as many by hand */
#endif
#ifndef COPIES
#define COPIES 1
#endif
#ifndef WISHES
#define WISHES 0      /* authorizations that ATMs want */
#endif

#define REAL 0
#define COPY 1
#define LAST (LINKS + 1) /* the number of every channel when it is calm */

#define PERSONALIZE 1
#define STATUS 2
#define MANUFACTURE_ADMITTED 1
#define POLICY policy
#define CARD 1
#define FORGED 2
#define MADE_BEFORE 1    /* the key pair made at manufacture */
#define EVIL 9           /* the attacker's own */
#define KEYS 10

mtype = { BY_CERTIFICATE, QUEUED_FOR_PEOPLE, BY_CABLE, BY_STOLEN_UNIT };
mtype way;
#define CERTIFIED (way != BY_CABLE)
#define QUEUED (way == QUEUED_FOR_PEOPLE)
#define STOLEN (way == BY_STOLEN_UNIT)

#define NOBODY 0
#define HONEST 1
#define ATTACKER 2

mtype = { WORKING, RESET_ORDERED, RESET_DONE };

/* the module and the copy of its store: durable */
mtype condition[2];
byte key[2], certificate[2], issuer[2], epoch[2], generation[2];
bool pinned[2];
byte made_in;            /* the epoch in which the real module's operating key was made */

/* its session with a unit */
mtype module_state, m_asks;
byte m_other, m_unit, m_link, m_key, m_staged, m_issuer;
bool m_lost;
chan to_module = [3] of { mtype, byte, byte };

mtype unit_state[UNITS], u_asks[UNITS];
byte u_other[UNITS], u_link[UNITS], u_key[UNITS], u_purpose[UNITS];
bool u_lost[UNITS], u_job[UNITS];
chan to_unit[UNITS] = [3] of { mtype, byte, byte };
byte policy;

/* sessions with the central system: of the module and of the copy */
mtype work_state[2], w_asks[2];
byte w_link[2];
bool w_open[2], w_lost[2];
chan to_work[2] = [3] of { mtype, byte, byte };

mtype central_state[2], c_asks[2];
byte c_shown[2], c_epoch[2], c_generation[2], c_held[2], c_challenge[2];
bool c_open[2], c_lost[2], c_stale[2];
chan to_central[2] = [3] of { mtype, byte, byte };

/* the registry */
mtype r_standing;
byte r_certificate, r_epoch, r_generation;
bool retired[KEYS];

/* the world */
byte links, keys, power_cuts, ordered, by_hand, wishes;
bool calm, copied;
bool certified[KEYS];            /* by the card, and known to the attacker */
byte heard_key, heard_link;      /* the last proof that the attacker heard */

/* what must not happen, noticed as it does */
bool personalized_twice, told_too_early, stranger_confirmed, dead_admitted, dead_decided;
bool dead[KEYS];                 /* certificates that are worthless by now */
bool kept[KEYS];                 /* keys that the real module ever worked with */
byte acknowledged;               /* resets that the module has told of */

#define OPERATING (condition[REAL] == MODULE_OPERATING)
#define POWER_FAILS(d) (d == REAL && !calm && power_cuts > 0)
#define FRESH(variable) keys++; variable = keys
#define ENTERED (r_certificate != 0)
#define GREETED(d) (c_shown[d] == r_certificate)
#define SAME(d) (r_standing == WORKING && c_epoch[d] == r_epoch && c_generation[d] > r_generation)
#define NEWER(d) (!retired[c_shown[d]] && c_shown[d] > r_certificate)

/* Durable writes */
#define KEEP(d) \
  personalized_twice = personalized_twice || condition[d] == MODULE_OPERATING; \
  condition[d] = MODULE_OPERATING; key[d] = m_key; certificate[d] = m_staged; issuer[d] = m_issuer; \
  made_in = epoch[d]; pinned[d] = true; generation[d]++; kept[m_key] = true; work_state[d] = WORK_OPERATING
#define ERASE(d) \
  condition[d] = MODULE_RESET; key[d] = 0; certificate[d] = 0; issuer[d] = 0; pinned[d] = false; \
  epoch[d]++; generation[d]++
#define REGISTER(d) \
  dead_admitted = dead_admitted || dead[c_shown[d]]; \
  if :: r_certificate != c_shown[d] -> retired[r_certificate] = true; dead[r_certificate] = true :: else fi; \
  r_certificate = c_shown[d]; r_epoch = c_epoch[d]; r_generation = c_generation[d]; r_standing = WORKING; \
  c_held[d] = r_epoch; c_stale[1 - d] = true
#define DECIDE(d) dead_decided = dead_decided || dead[c_shown[d]]; c_stale[1 - d] = true
#define STRIKE_OFF(d) r_standing = RESET_DONE; c_stale[1 - d] = true
#define CONFIRMED(k) stranger_confirmed = stranger_confirmed || !kept[k]

/* Sending: over a link that stands, else into the void */
#define MODULE_SEND(m, a, b) \
  if :: m_other == HONEST && !m_lost && !u_lost[m_unit] -> to_unit[m_unit]!m, a, b \
     :: m_other == ATTACKER && m == ModuleKey -> heard_key = a; heard_link = b \
     :: else fi
#define UNIT_SEND(m, a, b) if :: u_other[d] == HONEST && !u_lost[d] && !m_lost -> to_module!m, a, b :: else fi
#define WORK_SEND(m, a, b) \
  if :: m == ResetDone && d == REAL -> acknowledged = a; told_too_early = told_too_early || key[d] != 0 :: else fi; \
  if :: c_open[d] && !c_lost[d] && !w_lost[d] -> to_central[d]!m, a, b :: else fi
#define CENTRAL_SEND(m, a, b) if :: w_open[d] && !w_lost[d] && !c_lost[d] -> to_work[d]!m, a, b :: else fi
#define TELL_UNIT \
  if :: m_other == HONEST && u_other[m_unit] == HONEST && u_link[m_unit] == m_link -> u_lost[m_unit] = true :: else fi
#define MODULE_ASK(answer) m_asks = answer
#define UNIT_ASK(answer) u_asks[d] = answer
#define WORK_ASK(answer) w_asks[d] = answer
#define CENTRAL_ASK(answer) c_asks[d] = answer
#define MODULE_CLOSE() over = true
#define UNIT_CLOSE() over = true
#define WORK_CLOSE() over = true
#define CENTRAL_CLOSE() over = true

#include "tables.pml"

inline empty_out(line) {
  do :: nempty(line) -> line?_, _, _ :: empty(line) -> break od
}

/* The module's session with a unit is over; the other end will notice when it has read what came before. */
inline module_ends() {
  TELL_UNIT;
  empty_out(to_module);
  m_other = NOBODY; m_unit = 0; m_link = 0; m_key = 0; m_staged = 0; m_issuer = 0; m_asks = 0; m_lost = false;
  module_state = condition[REAL]
}

inline work_ends(d) {
  c_lost[d] = c_open[d];
  empty_out(to_work[d]);
  w_open[d] = false; w_lost[d] = false; w_link[d] = 0; w_asks[d] = 0
}

inline go_dark() {
  power_cuts--;
  module_ends();
  work_ends(REAL);
  work_state[REAL] = (condition[REAL] == MODULE_OPERATING -> WORK_OPERATING : WORK_RESET)
}

active proctype module() {
  mtype event; byte x, y; bool refused, over, dark;
end:
  do
  :: atomic {
       if
       :: m_other && m_asks == ChannelOpened -> event = ChannelOpened; m_asks = 0;
          x = (module_state == MODULE_OPERATING -> STATUS : PERSONALIZE)
       :: m_other && m_asks && m_asks != ChannelOpened -> event = m_asks; m_asks = 0
       :: m_other && m_asks && m_asks != ChannelOpened && !m_lost && !calm -> event = KeyOperationFailed; m_asks = 0
       :: m_other && !m_asks && nempty(to_module) -> to_module?event, x, y
       :: m_other && !m_asks && !m_lost && module_state != MODULE_OPERATING && (!calm || timeout) ->
          event = DeadlinePassed
       :: m_other && m_lost && (!m_asks && empty(to_module) || !calm) -> event = ChannelLost
       fi;
       module_step(REAL);
       if
       :: dark -> go_dark()
       :: !dark && (over || event == ChannelLost || (refused && m_other == ATTACKER)) -> module_ends()
       :: else -> if :: refused -> TELL_UNIT; m_lost = true; m_asks = 0; empty_out(to_module) :: else fi
       fi;
       event = 0; x = 0; y = 0; refused = false; over = false; dark = false
     }
  od
}

/* A refused step ends the session: the table hears of a lost channel next. */
inline unit_ends(d) {
  if :: u_other[d] == HONEST && m_other == HONEST && m_unit == d -> m_lost = true :: else fi;
  empty_out(to_unit[d]);
  u_other[d] = NOBODY; u_link[d] = 0; u_key[d] = 0; u_asks[d] = 0; u_lost[d] = false; u_purpose[d] = 0;
  unit_state[d] = UNIT_READY
}

/* The card certifies one key a job; only people at both displays can tell whether two keys are the same. */
inline card_answers(d) {
  if
  :: u_job[d] -> u_job[d] = false; certified[u_key[d]] = true
  :: !u_job[d] || !calm -> event = CardRefused
  fi
}

inline people_compare(d) {
  if
  :: m_key == u_key[d] && m_other -> skip
  :: m_key != u_key[d] || !m_other || !calm -> event = FingerprintsDiffer
  fi
}

proctype unit(byte d) {
  mtype event; byte x, y; bool refused, over;
end:
  do
  :: atomic {
       if
       :: u_other[d] && u_asks[d] -> event = u_asks[d]; u_asks[d] = 0;
          if
          :: event == ChannelOpened -> x = u_purpose[d]; u_purpose[d] = 0
          :: event == ModuleCertified -> card_answers(d)
          :: event == FingerprintsAgree -> people_compare(d)
          :: event == JobQueued && !calm -> event = CardRefused
          :: event == JobQueued -> skip
          fi
       :: u_other[d] && !u_asks[d] && unit_state[d] == UNIT_APPROVING && !u_lost[d] -> event = JobApproved
       :: u_other[d] && !u_asks[d] && unit_state[d] == UNIT_APPROVING && !u_lost[d] && !calm -> event = JobDropped
       :: u_other[d] && !u_asks[d] && nempty(to_unit[d]) -> to_unit[d]?event, x, y
       :: u_other[d] && !u_asks[d] && !u_lost[d] && (!calm || timeout) -> event = DeadlinePassed
       :: u_other[d] && u_lost[d] && (!u_asks[d] && empty(to_unit[d]) || !calm) -> event = ChannelLost
       fi;
       unit_step(d);
       if :: over || refused || event == ChannelLost -> unit_ends(d) :: else fi;
       event = 0; x = 0; y = 0; refused = false; over = false
     }
  od
}

proctype work(byte d) {
  mtype event; byte x, y; bool refused, over, dark;
end:
  do
  :: atomic {
       if
       :: w_open[d] && w_asks[d] -> event = w_asks[d]; w_asks[d] = 0
       :: w_open[d] && !w_asks[d] && nempty(to_work[d]) -> to_work[d]?event, x, y
       :: w_open[d] && !w_asks[d] && !w_lost[d] && work_state[d] != WORK_ONLINE && (!calm || timeout) ->
          event = DeadlinePassed
       :: w_open[d] && w_lost[d] && (!w_asks[d] && empty(to_work[d]) || !calm) -> event = ChannelLost
       :: d == REAL && condition[d] == MODULE_OPERATING && !calm && by_hand > 0 -> by_hand--; event = ResetByHand
       :: w_open[d] && !w_asks[d] && work_state[d] == WORK_ONLINE && wishes > 0 && !calm -> wishes--;
          event = AuthorizationWanted
       fi;
       work_step(d);
       if
       :: dark -> go_dark()
       :: !dark && (over || refused || event == ChannelLost) ->
          if :: refused && work_state[d] != WORK_RESET -> work_state[d] = WORK_OPERATING :: else fi;
          work_ends(d)
       :: else
       fi;
       event = 0; x = 0; y = 0; refused = false; over = false; dark = false
     }
  od
}

inline central_ends(d) {
  w_lost[d] = w_open[d];
  empty_out(to_central[d]);
  c_open[d] = false; c_lost[d] = false; c_asks[d] = 0; c_shown[d] = 0; c_epoch[d] = 0; c_generation[d] = 0;
  c_held[d] = 0; c_challenge[d] = 0; c_stale[d] = false;
  central_state[d] = CENTRAL_LISTENING
}

proctype central(byte d) {
  mtype event; byte x, y; bool refused, over;
end:
  do
  :: atomic {
       if
       :: c_open[d] && c_asks[d] -> event = c_asks[d]; c_asks[d] = 0
       :: c_open[d] && c_asks[d] == Signed && !c_lost[d] && !calm -> event = KeyOperationFailed; c_asks[d] = 0
       :: c_open[d] && !c_asks[d] && nempty(to_central[d]) -> to_central[d]?event, x, y
       :: c_open[d] && !c_asks[d] && !c_lost[d] && central_state[d] != CENTRAL_ONLINE && (!calm || timeout) ->
          event = DeadlinePassed
       :: c_open[d] && c_lost[d] && (!c_asks[d] && empty(to_central[d]) || !calm) -> event = ChannelLost
       :: c_open[d] && c_stale[d] && !c_asks[d] && !c_lost[d] && central_state[d] == CENTRAL_ONLINE ->
          event = AttentionCalled
       fi;
       central_step(d);
       if :: over || refused || event == ChannelLost -> central_ends(d) :: else fi;
       event = 0; x = 0; y = 0; refused = false; over = false
     }
  od
}

#define MAY_OPEN (calm || links < LINKS)
#define NEXT_LINK if :: calm -> number = LAST :: else -> links++; number = links fi
#define SETTLED (condition[REAL] == MODULE_OPERATING && central_state[REAL] == CENTRAL_ONLINE && \
                 work_state[REAL] == WORK_ONLINE && !c_stale[REAL])

/* The attacker, as a module: with a key of his own, or with a proof that he heard elsewhere. */
inline he_says(d) {
  if
  :: to_unit[d]!ModuleKey(EVIL, u_link[d])
  :: heard_key -> to_unit[d]!ModuleKey(heard_key, heard_link)
  :: to_unit[d]!Personalized(EVIL, u_link[d])
  :: to_unit[d]!Status(0, 0)
  fi
}

/* The module and an honest unit; the attacker at a unit's end of a cable. */
inline meets(d) {
  NEXT_LINK;
  m_other = HONEST; m_unit = d; m_link = number; m_asks = ChannelOpened; module_state = condition[REAL];
  u_other[d] = HONEST; u_link[d] = number; u_asks[d] = ChannelOpened; u_job[d] = u_job[d] || calm;
  u_purpose[d] = (condition[REAL] == MODULE_OPERATING -> STATUS : PERSONALIZE);
  number = 0
}

inline he_calls(d) {
  NEXT_LINK;
  u_other[d] = ATTACKER; u_link[d] = number; u_asks[d] = ChannelOpened;
  if :: u_purpose[d] = PERSONALIZE :: u_purpose[d] = STATUS fi;
  number = 0
}

#define MEET(d) (m_other == NOBODY && u_other[d] == NOBODY && MAY_OPEN && !(calm && OPERATING))
#define HE_MAY_CALL(d) (!CERTIFIED && !calm && u_other[d] == NOBODY && MAY_OPEN)
#define HE_MAY_SPEAK(d) (u_other[d] == ATTACKER && u_asks[d] == 0 && !u_lost[d])

/* Who meets whom, and what people and attacker do: all of it at any time. */
proctype world() {
  byte number;
end:
  do
  :: atomic { MEET(0) -> meets(0) }
  :: atomic { HE_MAY_CALL(0) -> he_calls(0) }
  :: atomic { HE_MAY_SPEAK(0) && empty(to_unit[0]) -> he_says(0) }
#if UNITS > 1
  :: atomic { MEET(1) -> meets(1) }
  :: atomic { HE_MAY_CALL(1) -> he_calls(1) }
  :: atomic { HE_MAY_SPEAK(1) && empty(to_unit[1]) -> he_says(1) }
#endif
  :: atomic { /* the attacker at the module's end of a cable */
       (STOLEN || !CERTIFIED) && m_other == NOBODY && MAY_OPEN && !calm ->
       NEXT_LINK; m_other = ATTACKER; m_link = number; m_asks = ChannelOpened; module_state = condition[REAL];
       number = 0
     }
  :: atomic { m_other == ATTACKER && m_asks == 0 && empty(to_module) && !m_lost -> /* he says what he can */
       if
       :: to_module!GenerateKeyPair(0, 0)
       :: to_module!ApprovalAwaited(0, 0)
       :: to_module!Certificates(m_key, FORGED)
       :: to_module!Certificates(EVIL, FORGED)
       :: m_key && (certified[m_key] || STOLEN) -> to_module!Certificates(m_key, CARD)
       :: to_module!Personalized(0, 0)
       fi
     }
  :: atomic { /* the module, or the copy, contacts the central system */
       condition[REAL] == MODULE_OPERATING && !w_open[REAL] && !c_open[REAL] && MAY_OPEN ->
       NEXT_LINK; w_open[REAL] = true; w_link[REAL] = number; w_asks[REAL] = ChannelOpened;
       c_open[REAL] = true; c_asks[REAL] = ChannelOpened; c_shown[REAL] = certificate[REAL];
       number = 0
     }
  :: atomic {
       copied && condition[COPY] == MODULE_OPERATING && !w_open[COPY] && !c_open[COPY] && MAY_OPEN && !calm ->
       NEXT_LINK; w_open[COPY] = true; w_link[COPY] = number; w_asks[COPY] = ChannelOpened;
       c_open[COPY] = true; c_asks[COPY] = ChannelOpened; c_shown[COPY] = certificate[COPY];
       number = 0
     }
  :: atomic { /* the store is copied */
       COPIES && !copied && condition[REAL] == MODULE_OPERATING && !calm ->
       copied = true; condition[COPY] = MODULE_OPERATING; work_state[COPY] = WORK_OPERATING;
       key[COPY] = key[REAL]; certificate[COPY] = certificate[REAL]; issuer[COPY] = issuer[REAL];
       epoch[COPY] = epoch[REAL]; generation[COPY] = generation[REAL]; pinned[COPY] = true
     }
  :: atomic { /* the operator orders a reset; the old certificate is worthless at once */
       ENTERED && r_standing == WORKING && ordered > 0 && !calm ->
       ordered--; r_standing = RESET_ORDERED; dead[r_certificate] = true; c_stale[REAL] = true; c_stale[COPY] = true
     }
  :: atomic { !calm && m_other == HONEST && !m_lost -> TELL_UNIT; m_lost = true } /* a link is cut */
  :: atomic { !calm && w_open[REAL] && !w_lost[REAL] -> w_lost[REAL] = true; c_lost[REAL] = c_open[REAL] }
  :: atomic { !calm && power_cuts > 0 -> go_dark() }
  :: atomic { !calm -> /* nobody disturbs any more; what the attacker holds open ends */
       calm = true; policy = 0; power_cuts = 0; ordered = 0; by_hand = 0; wishes = 0; heard_key = 0; heard_link = 0;
       copied = false; condition[COPY] = 0; w_lost[COPY] = w_open[COPY];
       if :: m_other == ATTACKER -> m_lost = true :: else fi;
       for (number : 0 .. UNITS - 1) { if :: u_other[number] == ATTACKER -> u_lost[number] = true :: else fi }
       number = 0
     }
  od
}

init {
  byte u;
  atomic {
    condition[REAL] = MODULE_DELIVERED; module_state = MODULE_DELIVERED; work_state[REAL] = WORK_RESET;
    keys = MADE_BEFORE; power_cuts = POWER_CUTS; ordered = RESETS; by_hand = RESETS; wishes = WISHES;
    if
    :: way = BY_CERTIFICATE
    :: WAYS > 1 -> way = BY_CABLE
    :: WAYS > 2 -> way = QUEUED_FOR_PEOPLE
    :: WAYS > 3 -> way = BY_STOLEN_UNIT
    fi;
    if :: policy = 0 :: policy = MANUFACTURE_ADMITTED fi;
    central_state[REAL] = CENTRAL_LISTENING; central_state[COPY] = CENTRAL_LISTENING;
    for (u : 0 .. UNITS - 1) { unit_state[u] = UNIT_READY; u_job[u] = true; run unit(u) }
    u = 0;
    run work(REAL); run central(REAL);
    if :: COPIES -> run work(COPY); run central(COPY) :: else fi;
    run world()
  }
}

#define HOLDS_A_CHAIN (key[REAL] != 0 && certificate[REAL] == key[REAL] && issuer[REAL] == CARD && pinned[REAL])

#define S3 (!told_too_early && acknowledged <= epoch[REAL] && \
            (!OPERATING -> key[REAL] == 0) && (OPERATING -> made_in >= acknowledged))

/* S1: from OPERATING, no personalization has an effect, from any session */
ltl s1 { [] !personalized_twice }
/* S2: OPERATING means a whole chain, for the key in key memory, and a pinned central system */
ltl s2 { [] (OPERATING -> HOLDS_A_CHAIN) }
/* S3: what a module acknowledged is erased, whatever happens to power; without a reset nothing is */
ltl s3 { [] S3 }
/* S4: a certificate that a reset made worthless is let in nowhere, and what is open decides nothing more */
ltl s4 { [] (!dead_admitted && !dead_decided) }
/* A unit says "personalized" of no key but one that the module keeps */
ltl agreement { [] !stranger_confirmed }
/* All of it, for a search that wants to know only whether something is wrong */
ltl safety { [] (!personalized_twice && (OPERATING -> HOLDS_A_CHAIN) && S3 && !dead_admitted && !dead_decided &&
                 !stranger_confirmed) }
/* Liveness: once nobody disturbs any more, the module works, whatever had happened to it */
ltl liveness { [] (calm -> <> SETTLED) }
/* And a module never stays in the middle */
ltl no_limbo { [] ((m_other != NOBODY) -> <> (m_other == NOBODY)) }
