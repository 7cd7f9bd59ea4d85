"""Settings of publishers. Precedence, highest first: flags, environment variables, scorer.toml, defaults.

The names are those of the scorer's settings, so that both can share a file; values of settings that only the scorer
uses are not validated here.
"""

from collections.abc import Mapping
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

import schemas.settings
from producer.errors import MisuseError
from schemas import topics
from schemas.settings import SERVERS_DEFAULT, InvalidSettingsError, Servers, TopicName
from schemas.transport import find_transport_faults


class Settings(BaseModel):
    """Brokers, topics and client properties of a publisher.

    Attributes:
        bootstrap_servers: a comma-separated list of host:port.
        applications_topic: the topic to publish applications to.
        decisions_topic: the topic to read decisions from.
        dead_letters_topic: the topic to read dead letters from.
        deployments_topic: the topic to read the contract of the deployed bundle from.
        kafka: librdkafka properties, such as `security.protocol`; they override this package's defaults.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    bootstrap_servers: Servers = SERVERS_DEFAULT
    applications_topic: TopicName = topics.APPLICATIONS
    decisions_topic: TopicName = topics.DECISIONS
    dead_letters_topic: TopicName = topics.DEAD_LETTERS
    deployments_topic: TopicName = topics.DEPLOYMENTS
    kafka: dict[str, str] = Field(default_factory=dict, repr=False)  # it may contain passwords

    @model_validator(mode="after")
    def _fit_together(self) -> Self:
        faults = find_transport_faults(self.bootstrap_servers, self.kafka)
        if faults:
            raise ValueError("; ".join(faults))
        return self


def load_settings(flags: Mapping[str, object] | None = None, environment: Mapping[str, str] | None = None) -> Settings:
    """Loads the settings from all sources: `schemas.settings.load_settings` describes the arguments.

    Raises:
        MisuseError: lists all problems, including unknown names, with the source of each value.
    """
    try:
        return schemas.settings.load_settings(Settings, flags, environment).settings
    except InvalidSettingsError as error:
        raise MisuseError(str(error)) from None
