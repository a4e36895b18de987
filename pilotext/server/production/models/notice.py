"""Notices: changes that people want to hear of without looking, and which of them were sent where."""

from __future__ import annotations

from django.db import models

from pilotext.server.production.models.task import Site, Task
from pilotext.server.times import EPOCH, now


class Notice(models.Model):
    """A change of state, or many failures; the same again within the hour is counted here.

    Its texts are fit to print. `page` is the path of the page that shows more.
    """

    key = models.TextField(unique=True)
    """Equal for the same within an hour."""
    kind = models.TextField()
    task = models.ForeignKey(Task, models.CASCADE, null=True, related_name="notices")
    site = models.ForeignKey(Site, models.CASCADE, null=True, related_name="notices")
    cause = models.TextField(default="")
    title = models.TextField()
    text = models.TextField(default="")
    page = models.TextField()
    count = models.IntegerField(default=0)
    at = models.DateTimeField(default=now)
    last = models.DateTimeField(default=now)

    def summary(self) -> str:
        """Return its text with how often it happened, where the text does not say that itself."""
        if self.count < 2 or self.kind in ("failures", "rules"):
            return self.text
        return f"{self.text} ({self.count} within an hour)"

    class Meta:
        indexes = [
            models.Index(fields=["at"], name="notice_by_time"),
            models.Index(fields=["kind", "at"], name="notice_by_kind"),
        ]


class NoticeChannel(models.Model):
    """A way by which notices are sent: an address of a webhook, or mails. The cycle works at one of them at a time."""

    name = models.TextField(unique=True)
    """Without its path and its secrets."""
    since = models.DateTimeField(default=now)
    """Older notices are not sent by it."""
    busy_until = models.DateTimeField(default=EPOCH)
    tries = models.IntegerField(default=0)
    """Failed ones since it worked last."""
    error = models.TextField(default="")
    failed = models.DateTimeField(null=True)


class NoticeDelivery(models.Model):
    """A notice that was sent by a channel."""

    notice = models.ForeignKey(Notice, models.CASCADE, related_name="deliveries", db_index=False)
    channel = models.ForeignKey(NoticeChannel, models.CASCADE, related_name="deliveries")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["notice", "channel"], name="notice_sent_once")]
