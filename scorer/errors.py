"""The exceptions that stop a process, as a hierarchy, each with its exit code.

A record's failure is never one of these: it is a value (`scorer.core.score.Rejection`). These mean that the process
cannot continue; the message names what is wrong, where, and how to fix it, and the command line prints it without a
traceback.

- ScorerError                 exit code 1
  - MisuseError               exit code 2: the command line, a file or a setting is wrong; nothing was started
    - SettingsError           one or more settings are invalid, all of them named
    - InputFileError          a file of applications cannot be read
  - BundleError               a bundle is missing, damaged, or does not match its manifest
    - RunnerMissingError      a library for its model is not installed, or cannot be imported
  - ModelError                the model failed on a matrix (the core narrows it down to records)
  - BundleUnusableError       no record of a batch can be scored, because of the bundle
  - BrokerError               the broker rejected a request, or cannot be reached
    - FencedError             another worker replaced this one
    - StalledError            a delivery exceeded the transaction timeout
  - DeploymentError           a deployment was rejected, or not every worker switched to it
  - ExplanationError          a decision cannot be explained: it, or the application's record, was not found
  - DeadLetterError           a dead letter was not found, or cannot be requeued
  - OffsetsError              a group's offsets cannot be changed now
  - ReplayError               a replay has nothing to do, or can no longer be run
  - TopicsError               a topic is missing, or its configuration differs from the contract
    - TopicRecreatedError     a topic was recreated, so the group's offsets are invalid
  - LocalBrokerError          a broker could not be started on this machine
  - EngineError               no container engine was found, or it cannot build
"""


class ScorerError(Exception):
    """An error that stops the process; `str()` of it is the complete message for the user."""

    exit_code = 1


class MisuseError(ScorerError):
    """The command line, a file or a setting is wrong; nothing was started."""

    exit_code = 2


class SettingsError(MisuseError):
    """One or more settings are invalid; the message names each of them and its source."""


class InputFileError(MisuseError):
    """A file of applications cannot be read."""


class BundleError(ScorerError):
    """A bundle is missing, damaged, or does not match its manifest."""


class BundleNotFoundError(BundleError):
    """The store was searched, and has no bundle that a reference means."""


class UnsignedError(BundleError):
    """A bundle has no signature of a trusted key, and signatures are required."""


class RunnerMissingError(BundleError):
    """A library for a bundle's model is not installed or cannot be imported; the bundle itself may be fine."""


class ModelError(ScorerError):
    """The model failed on a matrix, or returned something that is not a probability."""


class BundleUnusableError(ScorerError):
    """The bundle cannot score anything: the worker must stop before valid applications become dead letters."""


class BrokerError(ScorerError):
    """The broker rejected a request or cannot be reached, and waiting does not help."""


class FencedError(BrokerError):
    """Another process uses this one's instance id in the group or its transactional id."""


class StalledError(BrokerError):
    """A delivery exceeded the transaction timeout, so the coordinator has aborted it."""


class DeploymentError(ScorerError):
    """A deployment was rejected, or not every worker switched to it in time."""


class ExplanationError(ScorerError):
    """A decision cannot be explained: it, or the application's record, was not found; or it has no reasons."""


class DeadLetterError(ScorerError):
    """A dead letter was not found, or cannot be requeued to the input topic."""


class OffsetsError(ScorerError):
    """A group's offsets cannot be changed now: it has members."""


class ReplayError(ScorerError):
    """A replay has nothing to do, or the records that it needs were deleted."""


class TopicsError(ScorerError):
    """A topic is missing, or its configuration differs from the contract."""


class TopicRecreatedError(TopicsError):
    """A topic was deleted and recreated: the group's offsets belong to the earlier topic."""


class LocalBrokerError(ScorerError):
    """A broker could not be started on this machine."""


class EngineError(ScorerError):
    """No container engine answers on this machine, or it could not build an image."""
