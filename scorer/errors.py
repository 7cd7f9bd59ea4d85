"""The exceptions that stop a process, as a tree, each with its exit code.

A record's failure is never one of these: it is a value (`scorer.core.score.Rejection`). These say that the process
cannot go on, what is wrong, where, and how to mend it; the command line prints them as one message without a traceback.

- ScorerError                 exit code 1
  - MisuseError               exit code 2: the call, a file or a setting is wrong; nothing was begun
    - SettingsError           one or more settings, all of them named
    - InputFileError          a file of applications that cannot be read
  - BundleError               a bundle that is missing, damaged, or not what it says
    - RunnerMissingError      what runs its model is not installed, or cannot be imported
  - ModelError                the model failed on a matrix (narrowed to records by the core)
  - BundleUnusableError       no record of a batch can be scored: the bundle is at fault
  - BrokerError               the broker said no, or is not there
    - FencedError             another worker took this one's place
    - StalledError            a delivery took longer than its transaction can live
  - DeploymentError           a deployment that was refused, or that not every worker took over
  - DeadLetterError           a dead letter that is not there, or cannot be put back
  - OffsetsError              a group whose offsets cannot be changed now
  - ReplayError               a replay that has nothing to do, or cannot be done any more
  - TopicsError               a topic is missing or set up otherwise than the contract says
    - TopicRecreatedError     a topic was deleted and created again under the group's offsets
  - LocalBrokerError          a broker could not be started on this machine
  - EngineError               no container engine is here, or it cannot build
"""


class ScorerError(Exception):
    """Something that stops the process; `str()` of it is the whole message for the user."""

    exit_code = 1


class MisuseError(ScorerError):
    """The call, a file or a setting is wrong; nothing was begun."""

    exit_code = 2


class SettingsError(MisuseError):
    """One or more settings are wrong; the message names every one of them and where it came from."""


class InputFileError(MisuseError):
    """A file of applications that cannot be read as one."""


class BundleError(ScorerError):
    """A bundle that is missing, damaged, or not what it says it is."""


class UnsignedError(BundleError):
    """A bundle that no trusted key has signed, where signatures are required."""


class RunnerMissingError(BundleError):
    """What runs a bundle's model is not installed or cannot be imported; the bundle itself may be fine."""


class ModelError(ScorerError):
    """The model failed on a matrix, or returned something that is no probability."""


class BundleUnusableError(ScorerError):
    """The bundle cannot score anything: the worker must stop before good applications become dead letters."""


class BrokerError(ScorerError):
    """The broker refused something or cannot be reached, and waiting does not help."""


class FencedError(BrokerError):
    """Another process took this one's place in the group or its transactional id."""


class StalledError(BrokerError):
    """A delivery took longer than its transaction can live, so the coordinator has aborted it."""


class DeploymentError(ScorerError):
    """A deployment was refused, or not every worker took it over in time."""


class DeadLetterError(ScorerError):
    """A dead letter is not there, or cannot be put back onto the input topic."""


class OffsetsError(ScorerError):
    """A group's offsets cannot be changed now: it has members."""


class ReplayError(ScorerError):
    """A replay has nothing to do, or what it needs is gone."""


class TopicsError(ScorerError):
    """A topic is missing, or is set up otherwise than the contract says."""


class TopicRecreatedError(TopicsError):
    """A topic was deleted and created again: the group's offsets are of the earlier topic."""


class LocalBrokerError(ScorerError):
    """A broker could not be started on this machine."""


class EngineError(ScorerError):
    """No container engine answers on this machine, or it could not build an image."""
