"""The errors that a user can fix, one class per kind.

The tree::

    AudioDclsError
    ├── ArgumentError          a function argument breaks its rule (also a ValueError)
    │   └── NothingToShowError a model, run or clip has nothing of what a figure shows
    ├── ConfigError            a YAML file, key or override is wrong
    ├── LabelError             a label, or a label file, is unknown or malformed
    ├── ManifestError          a manifest, segments file or corpus is unusable
    ├── AudioFileError         one sound cannot be used; `reason` says which rule it broke
    ├── ModelError             a model name, plan or override cannot be built
    │   └── PretrainedError    pretrained weights are not available or do not fit
    ├── CheckpointError        a checkpoint is missing, damaged, or of another kind
    ├── RunError               a run or study directory is missing, busy or incomplete
    ├── EvaluationError        scores cannot be computed from what was given
    └── ServiceError           a request to the service cannot be met; `status` is HTTP's

The command line prints the message on one line and exits with code 2. A message names the file, row, key or argument,
quotes its value, states the rule and ends with the remedy.
"""

from __future__ import annotations


class AudioDclsError(Exception):
    """Base class of the errors that a user can fix."""


class ArgumentError(AudioDclsError, ValueError):
    """A function argument breaks its rule."""


class NothingToShowError(ArgumentError):
    """A model, run or clip has nothing of what a figure shows."""


class ConfigError(AudioDclsError):
    """A YAML file, one of its keys, or an override is wrong."""


class LabelError(AudioDclsError):
    """A label or a label file is unknown or malformed."""


class ManifestError(AudioDclsError):
    """A manifest, a segments file or a corpus folder cannot be used."""


class AudioFileError(AudioDclsError):
    """One sound cannot be used.

    Args:
        message: a full sentence that names the file.
        reason: a short, stable code for reports: `missing`, `empty`, `unreadable`, `blank`, `too_short`, `silent`,
            `not_finite`, `out_of_range`, `changed`; in the service also `too_long` and `too_large`.
    """

    def __init__(self, message: str, *, reason: str) -> None:
        super().__init__(message)
        self.reason = reason

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild_audio_file_error, (str(self), self.reason)


def _rebuild_audio_file_error(message: str, reason: str) -> AudioFileError:
    """Build the error again after pickling: data loading sends errors between processes."""
    return AudioFileError(message, reason=reason)


class ModelError(AudioDclsError):
    """A model cannot be built as asked."""


class PretrainedError(ModelError):
    """Pretrained weights are not available or do not fit."""


class CheckpointError(AudioDclsError):
    """A checkpoint is missing, damaged, or of another kind."""


class RunError(AudioDclsError):
    """A run or study directory is missing, busy or incomplete."""


class EvaluationError(AudioDclsError):
    """Scores cannot be computed from what was given."""


class ServiceError(AudioDclsError):
    """A request to the service cannot be met: an HTTP status, 400 to 599, and a short, stable code for programs."""

    def __init__(self, message: str, *, status: int, code: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.status, self.code, self.headers = status, code, headers
