"""The tables. Points in time are datetimes in UTC, sizes bytes, memory MB of 10^6 bytes, as everywhere.

What cannot be is refused by the database itself: states that no machine has, two active attempts of one job, the same
input twice in a task, an output in two merges. Writes go through `pilotext.server.production.advance`.
"""

from pilotext.server.production.models.attempt import Attempt, AttemptReport, Output, Signature, Verification
from pilotext.server.production.models.audit import AuditEntry, CycleStep
from pilotext.server.production.models.breaker import Breaker
from pilotext.server.production.models.factory import Factory, FactoryLabel
from pilotext.server.production.models.merge import LogArchive, MergeGroup, Product, StagedFile
from pilotext.server.production.models.notice import Notice, NoticeChannel, NoticeDelivery
from pilotext.server.production.models.people import Agent, ClientCertificate, Token
from pilotext.server.production.models.statistics import HourlyAttempts, HourlyTransfers
from pilotext.server.production.models.task import (
    AvoidedPlace,
    Experiment,
    Job,
    JobInput,
    LeftOutInput,
    PublishedFile,
    Site,
    Task,
)

__all__ = [
    "Agent",
    "Attempt",
    "AttemptReport",
    "AuditEntry",
    "AvoidedPlace",
    "Breaker",
    "ClientCertificate",
    "CycleStep",
    "Experiment",
    "Factory",
    "FactoryLabel",
    "HourlyAttempts",
    "HourlyTransfers",
    "Job",
    "JobInput",
    "LeftOutInput",
    "LogArchive",
    "MergeGroup",
    "Notice",
    "NoticeChannel",
    "NoticeDelivery",
    "Output",
    "Product",
    "PublishedFile",
    "Signature",
    "Site",
    "StagedFile",
    "Task",
    "Token",
    "Verification",
]
