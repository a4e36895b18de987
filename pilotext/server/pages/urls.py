"""Addresses of the pages."""

from __future__ import annotations

from django.urls import URLPattern, URLResolver, path

from pilotext.server import converters  # noqa: F401  registers `number`
from pilotext.server.pages import (
    account,
    failures,
    health,
    job,
    jobs,
    log,
    login,
    manual,
    manual_decide,
    overview,
    rules,
    sites,
    submit,
    tasks,
    trail,
)

urlpatterns: list[URLPattern | URLResolver] = [
    path("", overview.show, name="overview"),
    path("login", login.log_in, name="login"),
    path("logout", login.log_out, name="logout"),
    path("tasks", tasks.list_all, name="tasks"),
    path("tasks/<number:task>", tasks.show, name="task"),
    path("tasks/<number:task>/decide", tasks.decide, name="task-decide"),
    path("jobs", jobs.show, name="jobs"),
    path("jobs.json", jobs.as_json, name="jobs-json"),
    path("jobs.csv", jobs.as_csv, name="jobs-csv"),
    path("jobs/<number:job>", job.show, name="job"),
    path("jobs/<number:job>/decide", job.decide, name="job-decide"),
    path("jobs/<number:job>/note", job.note, name="job-note"),
    path("jobs/<number:job>/assign", job.assign, name="job-assign"),
    path("jobs/<number:job>/attempts/<number:attempt>/log", log.show, name="log"),
    path("jobs/<number:job>/attempts/<number:attempt>/log/<str:name>", log.show_text, name="log-text"),
    path("jobs/<number:job>/attempts/<number:attempt>/log/<str:name>/raw", log.download, name="log-raw"),
    path("manual", manual.show, name="manual"),
    path("manual/jobs", manual.one_by_one, name="manual-jobs"),
    path("manual/decide", manual_decide.show, name="manual-decide"),
    path("products/<number:product>/decide", manual.decide_on_product, name="product-decide"),
    path("failures", failures.show, name="failures"),
    path("failures.csv", failures.as_csv, name="failures-csv"),
    path("failures/attempts", failures.attempts, name="failed-attempts"),
    path("breakers/<number:breaker>/decide", failures.decide_on_breaker, name="breaker-decide"),
    path("sites", sites.show, name="sites"),
    path("rules", rules.catalogue, name="rules"),
    path("rules/try", rules.try_rules, name="rules-try"),
    path("rules/<str:experiment>/<str:rule>", rules.show, name="rule"),
    path("trail", trail.show, name="trail"),
    path("trail.csv", trail.as_csv, name="trail-csv"),
    path("submit", submit.show, name="submit"),
    path("account", account.show, name="account"),
    path("account/theme", account.choose_theme, name="theme"),
    path("account/tokens/<number:token>/revoke", account.revoke_own, name="token-revoke"),
    path("people", account.people, name="people"),
    path("server", health.show, name="server"),
    path("search", jobs.search, name="search"),
]
