"""Records: how a face, a decision, an event, a template, a person and a scan look as JSON.

The command line, the web and event sinks all give programs these; nothing else builds such a record.
"""

from collections.abc import Sequence
from pathlib import Path

from facepool.enroll.coverage import Coverage, DirectionReport, ViewReport
from facepool.enroll.identity import LookAlike
from facepool.faces.analyze import Faces
from facepool.gallery.sightings import Suggestion, UnknownGroup
from facepool.groups.correct import Correction
from facepool.groups.learn import Learned, Why
from facepool.groups.library import PhotoFace, PhotoGroups
from facepool.groups.naming import Named
from facepool.groups.undoing import Undoable
from facepool.liveness.session import LivenessResult, LivenessStep
from facepool.privacy.holdings import Holding
from facepool.privacy.report import PrivacyReport
from facepool.recognize.events import Event, LiveView
from facepool.recognize.pictures import RecognizedFaces
from facepool.search import Behind
from facepool.types import Consent, Decision, Detections, Floats, Frame, Person, Pose, Sighting, Template

Record = dict[str, object]

UNDECIDED = "undecided"
"""The reason of a face of a video that was not looked at often enough yet."""
_DECIDED = ("person", "person_id", "similarity", "threshold", "margin")


def face_records(frame: Frame, faces: RecognizedFaces, *, say_when_empty: bool) -> list[Record]:
    """One record a face; for a frame without a face one that says so, if asked for, else none."""
    if len(faces) == 0:
        return [_where(frame) | _nothing("no_face") | _if_behind(faces.behind)] if say_when_empty else []
    return [
        _where(frame)
        | _box(faces.detections, row)
        | _decided(decision)
        | {"reason": decision.reason}
        | ({} if faces.passive is None else {"passive": rounded(faces.passive[row], 4)})
        | _if_behind(faces.behind)
        for row, decision in enumerate(faces.decisions)
    ]


def found_record(detections: Detections, row: int) -> Record:
    """A face that was found, with its landmarks."""
    landmarks = [[round(float(x), 1), round(float(y), 1)] for x, y in detections.landmarks[row]]
    return _box(detections, row) | {"landmarks": landmarks}


def embedded_record(faces: Faces, row: int) -> Record:
    """A face with its vector, and how well it was captured."""
    return found_record(faces.detections, row) | {
        "embedding": faces.embeddings[row].tolist(),
        "quality": round(float(faces.measures.overall[row]), 1),
        "pose": pose_record(faces.poses[row], 1),
    }


def named_record(faces: RecognizedFaces, row: int) -> Record:
    """A face with its decision, and the nearest people."""
    passive = None if faces.passive is None else rounded(faces.passive[row], 4)
    return found_record(faces.detections, row) | decision_record(faces.decisions[row]) | {"passive": passive}


def decision_record(decision: Decision) -> Record:
    """A decision about a face, whatever it was found in, and the nearest people."""
    candidates = [
        {
            "person": candidate.person,
            "person_id": candidate.person_id,
            "similarity": round(candidate.similarity, 4),
        }
        for candidate in decision.candidates
    ]
    return _decided(decision) | {"reason": decision.reason, "candidates": candidates}


def live_records(frame: Frame, view: LiveView) -> list[Record]:
    """One record a face of a frame of something that moves; the same fields, the track, and the sighting if kept."""
    records = []
    for row, (track, shown, tentative) in enumerate(zip(view.track_ids, view.decisions, view.tentative, strict=True)):
        decided = _decided(shown or tentative)
        if shown is None:
            decided |= {"person": None, "person_id": None}
        records.append(
            _where(frame)
            | {"event": None, "track": int(track)}
            | _box(view.detections, row)
            | decided
            | {"reason": UNDECIDED if shown is None else shown.reason}
            | ({"sighting": view.sighting_ids[row]} if view.sighting_ids else {})
            | _liveness(view, row)
            | _if_behind(view.behind)
        )
    return records


def behind_record(behind: Behind) -> Record:
    """What an answer may lack because the pool's index is behind, or away."""
    return {
        "templates": behind.templates,
        "since": behind.since.isoformat(timespec="milliseconds"),
        "reason": behind.reason,
    }


def _if_behind(behind: Behind | None) -> Record:
    """Nothing while all is well, as with pools that have no index."""
    return {} if behind is None else {"behind": behind_record(behind)}


def _liveness(view: LiveView, row: int) -> Record:
    """How a face has shown that it is alive, and what it is to do for that; nothing where nobody has to."""
    if not view.challenges:
        return {}
    result, step = view.liveness[row], view.challenges[row]
    return {
        "liveness": None if result is None else liveness_record(result),
        "challenge": None if step is None else liveness_step_record(step),
    }


def liveness_step_record(step: LivenessStep) -> Record:
    """What somebody who is challenged is to do now."""
    return {
        "step": step.number,
        "steps": step.steps,
        "phase": step.phase,
        "hint": step.hint.code,
        "text": step.hint.text,
        "angle_deg": step.angle_deg,
        "progress": round(step.progress, 3),
        "seconds_left": round(step.seconds_left, 1),
    }


def event_record(frame: Frame, event: Event, crop: Path | None = None) -> Record:
    """One record for something that happened to a track.

    Args:
        frame: With which it happened.
        event: What happened.
        crop: Where its picture was kept, if it was.
    """
    record: Record = {
        "id": event.id,
        "at": event.at.isoformat(timespec="milliseconds"),
        "source": frame.source,
        "frame": frame.index,
        "time_s": round(event.time_s, 3),
        "event": event.kind,
        "track": event.track,
        "bbox": [round(edge, 1) for edge in event.bbox],
        "person": event.person,
        "person_id": event.person_id,
        "previous": event.previous,
        "similarity": rounded(event.similarity, 4),
        "threshold": rounded(event.threshold, 4),
        "margin": rounded(event.margin, 4),
        "frames": event.frames,
        "firm": event.firm,
        "reason": event.reason,
        "crop": None if crop is None else str(crop),
    }
    if event.sighting is not None:
        record["sighting"] = event.sighting
    if event.liveness is not None:
        record["liveness"] = liveness_record(event.liveness)
    return record | _if_behind(event.behind)


def person_record(person: Person) -> Record:
    """Somebody of the pool."""
    return {
        "person": person.name,
        "person_id": person.id,
        "templates": person.templates,
        "created_at": person.created_at or None,
        "notes": person.notes,
        "tags": list(person.tags),
        "external_id": person.external_id or None,
    }


def consent_record(consent: Consent) -> Record:
    """To what somebody has agreed."""
    return {
        "id": consent.id,
        "given_at": consent.given_at,
        "recorded_by": consent.recorded_by,
        "method": consent.method,
        "text": consent.text,
    }


def holding_record(one: Holding) -> Record:
    """What one place keeps of a person."""
    return {
        "kind": one.kind,
        "what": one.what,
        "place": one.place,
        "count": one.count,
        "detail": one.detail,
        "since": one.since or None,
        "until": one.until or None,
        "stays": one.stays,
        "removed_by": one.removed_by,
    }


def privacy_record(report: PrivacyReport) -> Record:
    """All that is kept of a person."""
    return {
        "person": report.person,
        "person_id": report.person_id or None,
        "kept": [holding_record(one) for one in report.kept],
        "elsewhere": list(report.elsewhere),
    }


def suggestion_record(suggestion: Suggestion) -> Record:
    """A face that may become a view of somebody, and why it is proposed."""
    why = Why.of(suggestion)
    return {
        "id": suggestion.number,
        "person": suggestion.person,
        "person_id": suggestion.person_id,
        "face": suggestion.face_id,
        "sighting": suggestion.sighting_id,
        "source": suggestion.source,
        "seen_at": suggestion.seen_at,
        "reason": why.lack,
        "sightings": why.sightings,
        "days": why.days,
        "similarity": rounded(suggestion.similarity, 4),
        "quality": rounded(suggestion.quality, 1),
        "pose": pose_record(suggestion.pose, 1),
        "made_at": suggestion.made_at,
        "expires_at": suggestion.expires_at,
    }


def learned_record(learned: Learned) -> Record:
    """What a yes to a suggestion has done."""
    suggestion = learned.suggestion
    return {
        "id": suggestion.number,
        "person": suggestion.person,
        "person_id": suggestion.person_id,
        "sample": learned.template,
        "replaced": learned.replaced,
        "undo": learned.undo,
    }


def template_record(template: Template) -> Record:
    """A stored view: where it came from and how good it is; never its vector."""
    sample = template.sample
    return {
        "id": template.id,
        "uuid": template.uuid,
        "person": template.person,
        "person_id": template.person_id,
        "source": sample.source,
        "frame": sample.frame,
        "time_s": sample.time_s,
        "pose": pose_record(sample.pose),
        "quality": sample.quality,
        "size_px": sample.size_px,
        "score": sample.score,
        "appearance": sample.appearance,
        "partial": sample.partial,
        "learned_from": sample.learned_from or None,
        "created_at": template.created_at or None,
        "model": template.model or None,
    }


def unknown_record(group: UnknownGroup, looks_like: Sequence[LookAlike] | None = None) -> Record:
    """A group of unknown faces; with people of the pool whom they look like, where that was asked."""
    record: Record = {
        "id": group.number,
        "state": group.state,
        "sightings": group.sightings,
        "since": group.since,
        "until": group.until,
        "sources": list(group.sources),
        "faces": list(group.faces),
    }
    if looks_like is not None:
        record["looks_like"] = [
            {"person": alike.person, "similarity": round(alike.similarity, 4)} for alike in looks_like
        ]
    return record


def naming_record(named: Named) -> Record:
    """What became of a group of unknown faces that was given to somebody."""
    return {
        "person": named.person,
        "person_id": named.person_id,
        "templates": named.templates,
        "sightings": named.sightings,
        "undo": named.undo,
    }


def undo_record(change: Undoable) -> Record:
    """A change that can be undone."""
    return {"id": change.number, "at": change.at, "by": change.caller, "action": change.action, "what": change.what}


def sighting_record(sighting: Sighting) -> Record:
    """Somebody who was seen before one camera, from when to when."""
    return {
        "id": sighting.id,
        "source": sighting.source,
        "since": sighting.since,
        "until": sighting.until,
        "person": sighting.person,
        "person_id": sighting.person_id,
        "similarity": rounded(sighting.similarity, 4),
        "threshold": rounded(sighting.threshold, 4),
        "frames": sighting.frames,
        "group": sighting.group,
        "named_at": sighting.named_at or None,
        "first_person_id": sighting.first_person_id,
    }


def correction_record(correction: Correction) -> Record:
    """What a correction of a sighting did, or would do."""
    judgement, pair = correction.judgement, correction.pair
    return {
        "sighting": correction.sighting.id,
        "person": correction.person,
        "previous": correction.sighting.person,
        "template": correction.template,
        "outcome": None if judgement is None else judgement.outcome,
        "removed": len(correction.lost),
        "look_alikes": None if pair is None else sorted(pair),
        "margin": rounded(correction.margin, 4),
        "again": correction.again,
        "erased": correction.erased,
        "changes": [{"sighting": one.sighting, "before": one.before, "after": one.after} for one in correction.changes],
        "looked_at": correction.looked_at,
        "undo": correction.entry,
        "message": str(correction),
    }


def liveness_record(result: LivenessResult) -> Record:
    """What came of a liveness check: ``liveness`` of events, answers and the audit. Nobody's name, nobody's face."""
    return {
        "passed": result.passed,
        "method": result.method,
        "reason": result.reason,
        "score": round(result.score, 4),
        "flatness": rounded(result.flatness, 4),
        "steps": result.steps,
        "steps_passed": result.steps_passed,
        "passive": rounded(result.passive, 4),
    }


def pose_record(pose: Pose | None, digits: int | None = None) -> Record | None:
    """Degrees, rounded where ``digits`` says so; None for a pose that could not be measured."""
    if pose is None:
        return None
    angles = {"yaw": pose.yaw, "pitch": pose.pitch, "roll": pose.roll}
    return {name: rounded(angle, digits) if digits is not None else angle for name, angle in angles.items()}


def coverage_record(coverage: Coverage) -> Record:
    """The report on a scan."""
    return {
        "share": round(coverage.covered, 4),
        "views": len(coverage.views),
        "threshold": round(coverage.threshold.value, 4),
        "steady": coverage.steady,
        "motion": coverage.motion,
        "frontal": _view(coverage.frontal),
        "directions": [_direction(direction) for direction in coverage.directions],
    }


def look_alike_record(alike: LookAlike) -> Record:
    """Somebody who looks like the person of a scan, and what was said about it: ``same``, ``different`` or None."""
    return {
        "person": alike.person,
        "similarity": round(alike.similarity, 4),
        "mean_similarity": round(alike.mean_similarity, 4),
        "views_matched": alike.views_matched,
        "views": alike.views,
        "probably_same": alike.probably_same,
        "resolution": alike.resolution,
    }


def bbox_record(box: Floats) -> list[float]:
    """(4,) xyxy in pixels of the picture, to a tenth of a pixel."""
    return [round(float(edge), 1) for edge in box]


def rounded(value: float | None, digits: int) -> float | None:
    """A number with so many digits; None stays None."""
    return None if value is None else round(float(value), digits)


def _where(frame: Frame) -> Record:
    return {"source": frame.source, "frame": frame.index, "time_s": rounded(frame.time_s, 3)}


def _box(detections: Detections, row: int) -> Record:
    return {
        "bbox": bbox_record(detections.boxes[row]),
        "score": round(float(detections.scores[row]), 4),
    }


def _decided(decision: Decision | None) -> Record:
    if decision is None:
        return dict.fromkeys(_DECIDED)
    return {
        "person": decision.person,
        "person_id": decision.person_id,
        "similarity": rounded(decision.similarity, 4),
        "threshold": round(decision.threshold, 4),
        "margin": rounded(decision.margin, 4),
    }


def _nothing(reason: str) -> Record:
    return dict.fromkeys(("bbox", "score", *_DECIDED)) | {"reason": reason}


def _direction(direction: DirectionReport) -> Record:
    return {
        "angle_deg": direction.angle_deg,
        "words": direction.words,
        "near": _view(direction.near),
        "far": _view(direction.far),
        "thin": direction.thin,
    }


def _view(view: ViewReport | None) -> Record | None:
    if view is None:
        return None
    return {
        "quality": round(view.quality, 1),
        "yaw_deg": round(view.yaw_deg, 1),
        "pitch_deg": round(view.pitch_deg, 1),
        "stored": view.stored,
        "similarity": rounded(view.similarity, 4),
    }


def groups_record(found: PhotoGroups) -> Record:
    """The groups of a photo library: what ``groups.json`` holds."""
    groups = [
        {"id": group.id, "person": group.person, "faces": list(map(_photo_face_record, group.faces))}
        for group in found.groups
    ]
    return {"groups": groups, "ungrouped": list(map(_photo_face_record, found.ungrouped))}


def _photo_face_record(face: PhotoFace) -> Record:
    return {"path": face.path, "bbox": list(face.bbox), "score": round(face.score, 4)}
