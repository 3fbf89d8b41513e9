"""Everything that facepool raises on purpose.

Each error says *what* happened, *why*, and how to *fix* it, and carries a stable ``code`` that programs may
compare; the wording may change, the code does not.

FacepoolError
├── ConfigError                 exit 2   a setting that cannot be used
│   ├── ExtraMissing
│   └── KeyUnusable
├── InputError                  exit 3   what was to be looked at
│   ├── PathMissing
│   ├── PathUnreadable
│   ├── ImageUnreadable
│   ├── VideoUnreadable
│   ├── SourceEmpty
│   ├── CameraUnavailable
│   ├── StreamUnavailable
│   ├── StreamLost
│   ├── VectorsUnreadable
│   ├── SidecarUnreadable
│   ├── NoFace
│   ├── ImplausibleLandmarks
│   ├── ScanIncomplete
│   ├── NotEnoughScores
│   ├── InvalidScores
│   └── ProtocolInvalid
├── PoolError                   exit 4   where people are kept
│   ├── PoolCorrupt
│   ├── PoolLocked
│   ├── PoolGone
│   ├── PoolUnreachable
│   ├── IndexUnreachable
│   ├── IndexUnusable
│   ├── UnknownIndex
│   ├── PoolTooNew
│   ├── KeyNeeded
│   ├── WrongKey
│   ├── PoolNotEncrypted
│   ├── ConversionUnfinished
│   ├── SpaceMismatch
│   ├── InvalidEmbedding
│   ├── UnknownPerson
│   ├── UnknownTemplate
│   ├── PersonExists
│   ├── PoolChanged
│   ├── TransferIncomplete
│   ├── UnknownSighting
│   ├── UnknownSuggestion
│   ├── SuggestionOutdated
│   ├── GroupGone
│   ├── GroupChanged
│   ├── UndoUnknown
│   ├── UndoOutdated
│   ├── PersonFull
│   ├── InsufficientData
│   └── IdentityConflict
├── ModelError                  exit 5   the networks
│   ├── UnknownModel
│   ├── ModelUnavailable
│   ├── ModelCorrupt
│   ├── ModelUnsupported
│   └── LicenceNotAccepted
├── DeviceError                 exit 6   what they run and show on
│   ├── DeviceUnavailable
│   ├── EngineMissing
│   ├── ClusterUnreachable
│   ├── ClusterFailed
│   └── DisplayUnavailable
├── StorageError                exit 7   the disk
│   ├── NotWritable
│   └── DiskFull
└── SystemLimit                 exit 8   what the system gives a process
    ├── OutOfMemory
    └── TooManyOpenFiles
"""

import errno
from typing import ClassVar


class FacepoolError(Exception):
    """The root of the tree.

    Args:
        what: What happened, as a sentence without its full stop.
        why: The reason, where it is known.
        fix: What the user can do next.
    """

    code: ClassVar[str] = "facepool"
    exit_code: ClassVar[int] = 1

    def __init__(self, what: str, *, why: str = "", fix: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.why = why
        self.fix = fix

    def __str__(self) -> str:
        """The message in one line: what, why, and what to do."""
        reason = f": {self.why.rstrip('.')}" if self.why else ""
        remedy = f". {self.fix.rstrip('.')}" if self.fix else ""
        return f"{self.what.rstrip('.')}{reason}{remedy}."

    def __reduce__(self) -> tuple[object, ...]:
        """Keep why and fix when the error crosses a process boundary."""
        return (_rebuild, (type(self), self.what, self.why, self.fix))


def _rebuild(kind: type[FacepoolError], what: str, why: str, fix: str) -> FacepoolError:
    return kind(what, why=why, fix=fix)


class ConfigError(FacepoolError):
    """A setting that cannot be used: misspelt, out of range, or contradicting another.

    Remedy: correct the flag, environment variable or line of the settings file that the message names.
    """

    code = "config_invalid"
    exit_code = 2


class ExtraMissing(ConfigError):
    """What was asked for needs an extra of facepool that is not installed.

    Remedy: run the `pip install` that the message shows.
    """

    code = "extra_missing"


class KeyUnusable(ConfigError):
    """The key of an encrypted pool cannot be read or kept where it was said to be.

    Remedy: check the key file, its permissions and what is in it, or the keyring; the message says which.
    """

    code = "key_unusable"


class InputError(FacepoolError):
    """Something is wrong with the pictures, video or camera.

    Remedy: look at the picture, video or camera that the message names.
    """

    code = "input"
    exit_code = 3


class PathMissing(InputError):
    """A file or folder that was named does not exist.

    Remedy: check the spelling, and whether the disk or share that it lies on is there.
    """

    code = "path_missing"


class PathUnreadable(InputError):
    """A folder, or something in one that was to be looked at, cannot be opened, or is a link that leads nowhere.

    Remedy: change its permissions, mend the link, or leave it out.
    """

    code = "path_unreadable"


class ImageUnreadable(InputError):
    """A picture cannot be decoded.

    Remedy: open the picture in another program; if that fails too, take a fresh copy.
    """

    code = "image_unreadable"


class VideoUnreadable(InputError):
    """A video cannot be opened, holds no frame, or breaks off.

    Remedy: play the video in another program; a copy that breaks off has to be copied again.
    """

    code = "video_unreadable"


class SourceEmpty(InputError):
    """A folder or list of pictures holds none.

    Remedy: name the folder that holds the pictures; `.jpg`, `.png`, `.webp` and others are read.
    """

    code = "source_empty"


class CameraUnavailable(InputError):
    """A local camera is absent, busy, or not permitted.

    Remedy: close other programs that use the camera, allow access to it, or name another number.
    """

    code = "camera_unavailable"


class StreamUnavailable(InputError):
    """A network stream never opened.

    Remedy: check the address, the password and that this machine reaches the camera.
    """

    code = "stream_unavailable"


class StreamLost(InputError):
    """A live source died and did not come back.

    Remedy: check the camera and the network, and start again.
    """

    code = "stream_lost"


class SidecarUnreadable(InputError):
    """A photo's XMP sidecar cannot be merged into, because it is no XMP or may not be read; it stays as it is.

    Remedy: look at the file that the message names, and move it away if it is of no use.
    """

    code = "sidecar_unreadable"


class VectorsUnreadable(InputError):
    """A file of embeddings or of their names cannot be loaded into a pool; nothing of it was stored.

    Remedy: the message names the row, and what is wrong with it.
    """

    code = "vectors_unreadable"


class NoFace(InputError):
    """A picture that needs a face has none.

    Remedy: take a picture with one whole, upright, well-lit face.
    """

    code = "no_face"


class ImplausibleLandmarks(InputError):
    """What was found in a picture has landmarks that fit no head: it is half hidden, at an odd angle, or no face.

    Remedy: take a picture with one whole, upright face; one that is on its side or head as a whole is turned by itself.
    """

    code = "implausible_landmarks"


class ScanIncomplete(InputError):
    """A guided scan ended before enough directions were captured.

    Remedy: scan again and follow the hints, or use `--partial` for people who cannot turn.
    """

    code = "scan_incomplete"


class NotLive(InputError):
    """Somebody who was to be registered alive did not do what was asked, or moved like a flat picture.

    Remedy: try again, slowly and in good light, with one face before the camera; add `--partial` for people who cannot
    turn far.
    """

    code = "not_live"


class NotEnoughScores(InputError):
    """There are too few comparisons, or only of one kind, to measure an error rate.

    Remedy: give more pictures, of more people.
    """

    code = "not_enough_scores"


class InvalidScores(InputError):
    """Scores of an evaluation that are no numbers, or columns that do not belong together.

    Remedy: give columns of equal length that hold finite numbers.
    """

    code = "scores_invalid"


class ProtocolInvalid(InputError):
    """A list of pairs, a folder of people or annotated boxes that nothing can be measured with.

    Remedy: correct the list or folder; `facepool evaluate COMMAND --help` shows its form.
    """

    code = "protocol_invalid"


class PoolError(FacepoolError):
    """Something is wrong with the pool.

    Remedy: the message says what can be done.
    """

    code = "pool"
    exit_code = 4


class PoolCorrupt(PoolError):
    """The pool's files are not a pool, or contradict each other.

    Remedy: restore the files from a backup; facepool does not change a damaged pool.
    """

    code = "pool_corrupt"


class PoolLocked(PoolError):
    """Another process holds the pool for longer than we wait.

    Remedy: wait for the other process, or end it.
    """

    code = "pool_locked"


class PoolGone(PoolError):
    """The pool's file was deleted, moved away or replaced while it was in use; nothing more is read or stored there.

    Remedy: put the file back or restore it from a backup, and open the pool again; a server does so by itself.
    """

    code = "pool_gone"


class PoolUnreachable(PoolError):
    """The database that the pool is kept in cannot be reached, or lets nobody in.

    Remedy: start the database server, or check the address, the network and the password; a server of facepool goes on
    by itself once it answers.
    """

    code = "pool_unreachable"


class UnknownIndex(PoolError):
    """The pool has no index at that address.

    Remedy: `facepool index status` says where it has some; `facepool index sync --index ADDRESS` makes one.
    """

    code = "index_unknown"


class OutcomeUnknown(PoolUnreachable):
    """The connection to the database broke while a change was being stored, or before its answer was complete.

    Remedy: look whether the change is there before you repeat it; the message says what is known.
    """

    code = "outcome_unknown"


class IndexUnreachable(PoolError):
    """The index beside the pool cannot be reached, lets nobody in, or does not do in time what it is asked to.

    Remedy: start the Milvus server, or check the address, the network and the login; what the index lacks follows by
    itself once it answers. The pool itself is unharmed.
    """

    code = "index_unreachable"


class IndexUnusable(PoolError):
    """The index beside the pool was deleted, is not as facepool makes it, or is of another pool or model.

    Remedy: `facepool index rebuild` makes it anew from the pool, which is unharmed.
    """

    code = "index_unusable"


class PoolTooNew(PoolError):
    """The pool was written by a newer facepool.

    Remedy: update facepool on this machine.
    """

    code = "pool_too_new"


class KeyNeeded(PoolError):
    """The pool is encrypted, and no key was given.

    Remedy: name the file of its key with `--key-file`. Without the key nobody can read the pool.
    """

    code = "key_needed"


class WrongKey(PoolError):
    """The pool cannot be opened with the key that was given.

    Remedy: name the key that belongs to this pool. Without it nobody can read the pool: restore a backup whose key
    you have.
    """

    code = "wrong_key"


class PoolNotEncrypted(PoolError):
    """A key was given, and the pool is not encrypted.

    Remedy: encrypt it with `facepool pool encrypt`, or use it without a key.
    """

    code = "pool_not_encrypted"


class ConversionUnfinished(PoolError):
    """Encrypting, decrypting or changing the key of the pool was interrupted.

    Remedy: run any command of facepool on this pool; it brings that to its end.
    """

    code = "conversion_unfinished"


class SpaceMismatch(PoolError):
    """Embeddings of one space were offered to a pool of another.

    Remedy: use the models that the pool was made with, or take it to others: ``facepool people reembed``.
    """

    code = "space_mismatch"


class InvalidEmbedding(PoolError):
    """An embedding has NaN, infinity, zero length or the wrong shape.

    Remedy: embed the picture again; vectors have to be finite and as long as the model says.
    """

    code = "embedding_invalid"


class UnknownCollection(PoolError):
    """The pool has no collection of that name, or the key is not for it.

    Remedy: `facepool pool collections list` shows the names; a server tells nobody of collections that their key is not
    for.
    """

    code = "collection_unknown"


class CollectionExists(PoolError):
    """The pool has a collection of that name already.

    Remedy: choose another name, or use the one that is there: `--collection NAME`.
    """

    code = "collection_exists"


class UnknownPerson(PoolError):
    """The pool has nobody of that name.

    Remedy: `facepool people list` shows the names.
    """

    code = "person_unknown"


class UnknownTemplate(PoolError):
    """The pool has no template of that number, or it is another person's.

    Remedy: `facepool people show NAME` shows the numbers.
    """

    code = "template_unknown"


class PersonExists(PoolError):
    """The name is taken.

    Remedy: take another name, or merge the two people.
    """

    code = "person_exists"


class PoolChanged(PoolError):
    """Another process has changed the pool since it was last looked at.

    Remedy: ask for the list again and repeat the change.
    """

    code = "pool_changed"


class TransferIncomplete(PoolError):
    """After people were copied from one pool to another, something is not there.

    Remedy: copy again; what is there stays, and the rest follows.
    """

    code = "transfer_incomplete"


class UnknownSighting(PoolError):
    """Nothing is kept of that sighting, or of that face of one: it has expired, or somebody deleted it.

    Remedy: `facepool sightings list` shows those that are kept.
    """

    code = "sighting_unknown"


class UnknownSuggestion(PoolError):
    """There is no such suggestion to decide on: it has expired, or somebody has decided already.

    Remedy: `facepool suggestions list` shows those that there are.
    """

    code = "suggestion_unknown"


class SuggestionOutdated(PoolError):
    """What a suggestion rests on has changed: its face does not match what the person is enrolled with by now.

    Remedy: decline it; what cameras see from now on is compared with the views that there are.
    """

    code = "suggestion_outdated"


class GroupGone(PoolError):
    """There is no group of unknown faces of that number: it was named, joined to another, deleted, or has expired.

    Remedy: `facepool unknown list` shows those that there are.
    """

    code = "group_unknown"


class GroupChanged(PoolError):
    """Somebody else has changed a group of unknown faces since it was last looked at.

    Remedy: look at it again and repeat the change.
    """

    code = "group_changed"


class UndoUnknown(PoolError):
    """There is no change of that number to undo: it was undone, has expired, or was of somebody who is erased.

    Remedy: `facepool unknown undo --list` shows those that can be undone.
    """

    code = "undo_unknown"


class UndoOutdated(PoolError):
    """A change cannot be undone any more, because of what was done since.

    Remedy: the message says what stands against it; change what there is now instead.
    """

    code = "undo_outdated"


class PersonFull(PoolError):
    """A person has as many views of one look as are kept.

    Remedy: remove views that are not needed, or register another appearance.
    """

    code = "person_full"


class InsufficientData(PoolError):
    """The pool is too small for what is to be measured on it.

    Remedy: register more people, or use the uncalibrated threshold.
    """

    code = "insufficient_data"


class IdentityConflict(PoolError):
    """The face that is to be registered already belongs to somebody else.

    Remedy: register under that person's name, or say that they are two people (`--different-from`, `--force`).
    """

    code = "identity_conflict"


class ModelError(FacepoolError):
    """Something is wrong with a network or its file.

    Remedy: the message says what can be done.
    """

    code = "model"
    exit_code = 5


class UnknownModel(ModelError):
    """The catalog has no model or pack of that name.

    Remedy: `facepool models list` shows the names.
    """

    code = "model_unknown"


class ModelUnavailable(ModelError):
    """No source of a model could be reached.

    Remedy: check the network and pip's index, or use `--offline-dir` with files of another machine.
    """

    code = "model_unavailable"


class ModelCorrupt(ModelError):
    """A model file's bytes are not the ones that the catalog promises.

    Remedy: `facepool models remove NAME`, then fetch it again.
    """

    code = "model_corrupt"


class ModelUnsupported(ModelError):
    """A model or checkpoint is of a kind that facepool cannot run.

    Remedy: export the network as ONNX and take it in with `facepool models import`.
    """

    code = "model_unsupported"


class LicenceNotAccepted(ModelError):
    """A model's licence restricts its use and has not been accepted.

    Remedy: read the terms and, if your use is allowed, repeat with `--accept-licence`.
    """

    code = "licence_not_accepted"


class DeviceError(FacepoolError):
    """Something is wrong with what the networks run on or pictures are shown on.

    Remedy: `facepool doctor` shows what this machine can do.
    """

    code = "device"
    exit_code = 6


class DeviceUnavailable(DeviceError):
    """The device that was asked for cannot be used.

    Remedy: use `--device auto`, or repair the driver; facepool never falls back silently.
    """

    code = "device_unavailable"


class EngineMissing(DeviceError):
    """No inference engine is installed that runs on the device.

    Remedy: install the package that the message names.
    """

    code = "engine_missing"


class ClusterUnreachable(DeviceError):
    """The Ray cluster of `--ray` does not answer.

    Remedy: check the address, and that this machine is one of the cluster's nodes.
    """

    code = "cluster_unreachable"


class ClusterFailed(DeviceError):
    """The Ray cluster of `--ray` does not do the work, or not all of its machines can do the same.

    Remedy: do what the message says, and run the same again: what was done is not done twice.
    """

    code = "cluster_failed"


class DisplayUnavailable(DeviceError):
    """No window can be opened.

    Remedy: use `--headless`, or start it where a screen is.
    """

    code = "display_unavailable"


class StorageError(FacepoolError):
    """Something is wrong with the disk.

    Remedy: look at the disk that the message names.
    """

    code = "storage"
    exit_code = 7


class NotWritable(StorageError):
    """A file or folder may not be written.

    Remedy: change the permissions, or choose another folder.
    """

    code = "not_writable"


class DiskFull(StorageError):
    """The disk has no room left.

    Remedy: free some room and repeat; what was stored before is unharmed.
    """

    code = "disk_full"


class SystemLimit(FacepoolError):
    """The system gives this process no more of something that it needs.

    Remedy: end other programs, or raise the limit that the message names.
    """

    code = "system_limit"
    exit_code = 8


class OutOfMemory(SystemLimit):
    """There is not enough memory for what was asked.

    Remedy: end other programs, give the container or service more memory, or take less at once: smaller pictures, a
    smaller `--detect-size`.
    """

    code = "out_of_memory"


class TooManyOpenFiles(SystemLimit):
    """This process, or the whole system, may not open one more file or connection.

    Remedy: raise the limit (`ulimit -n`, `LimitNOFILE=` of a service, `--ulimit nofile=` of a container).
    """

    code = "too_many_open_files"


_OPEN_FILES = frozenset({errno.EMFILE, errno.ENFILE})
_MEMORY_WORDS = ("bad_alloc", "cannot allocate memory", "can't alloc", "out of memory", "failed to map segment")
"""What libraries of C++ and the loader of shared libraries say, in small letters, when memory is short."""


def out_of_memory(what: str) -> OutOfMemory:
    """The error for a library that had no memory left; `what` as in ``system_limit``."""
    return OutOfMemory(
        what,
        why="there is not enough memory",
        fix="End other programs, allow more memory, or take less at once, for example smaller pictures",
    )


def system_limit(what: str, error: BaseException) -> SystemLimit | None:
    """What a failure means where the system's limits are its reason; None where they are not.

    For the boundaries to libraries: a file is not damaged because there was no memory to read it.

    Args:
        what: What happened, as a sentence without its full stop.
        error: As the library or the system raised it.
    """
    number = error.errno if isinstance(error, OSError) else None
    if number in _OPEN_FILES:
        return TooManyOpenFiles(
            what,
            why="too many files are open" + (" on this machine" if number == errno.ENFILE else " in this process"),
            fix="Raise the limit (ulimit -n), or watch fewer sources at once",
        )
    said = str(error).lower()
    if isinstance(error, MemoryError) or number == errno.ENOMEM or any(words in said for words in _MEMORY_WORDS):
        return out_of_memory(what)
    return None
