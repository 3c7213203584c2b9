"""The messages with which a card enrols at a central system (L14). Declarations only."""

from __future__ import annotations

from typing import Annotated

from .fields import Key
from .personalization import Certificate, Signature
from .wire import message


@message(40)
class Enroll:
    """Card to central: these are the signing key and the central system that I mean.

    Attributes:
        proof: signature by the authentication key, which crossed with the signing key's certificate in the handshake.

    CDDL::

        Enroll = {
          0: 40,
          1: signature,
        }

    """

    proof: Annotated[Signature, Key(1)]


@message(41)
class Enrolled:
    """Central to card: your signing key is entered here; please have mine certified, when two people approve it.

    Attributes:
        request: PKCS#10 request for the central system's own certificate; DER.

    CDDL::

        Enrolled = {
          0: 41,
          1: certificate,  ; a PKCS#10 request, which is no longer than a certificate may be
        }

    """

    request: Annotated[Certificate, Key(1)]
