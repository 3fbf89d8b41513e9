"""The face interface of DeepStack, which CodeProject.AI has, too, so that its clients find a facepool instead.

In come forms; out go DeepStack's answers, built from the same services as ``facepool.web.api``. Read ``faces`` first,
then ``forms`` (what comes in); ``errors`` has the words for what is wrong.
"""

from facepool.web.deepstack.errors import refusal
from facepool.web.deepstack.faces import router

__all__ = ["refusal", "router"]
