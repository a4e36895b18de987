from __future__ import annotations

from pilotext.environment import for_payload, for_wrapper

AROUND = {
    "PATH": "/bin",
    "PILOTEXT_TOKEN": "t",
    "PILOTEXT_SERVER": "s",
    "PILOTEXT_RULES": "r",
    "PILOTEXT_DEADLINE": "1",
    "DATABASE_URL": "d",
    "DJANGO_ANYTHING": "d",
    "X509_USER_PROXY": "/proxy",
    "BEARER_TOKEN": "b",
}


def test_a_wrapper_gets_what_moves_files_and_nothing_that_opens_the_server() -> None:
    assert set(for_wrapper(AROUND)) == {
        "PATH", "PILOTEXT_RULES", "PILOTEXT_DEADLINE", "X509_USER_PROXY", "BEARER_TOKEN",
    }  # fmt: skip


def test_a_payload_gets_nothing_of_ours_and_only_the_credentials_that_its_job_names() -> None:
    assert set(for_payload(AROUND)) == {"PATH", "PILOTEXT_DEADLINE"}
    assert set(for_payload(AROUND, ("X509_USER_PROXY",))) == {"PATH", "PILOTEXT_DEADLINE", "X509_USER_PROXY"}
    assert "PILOTEXT_TOKEN" not in for_payload(AROUND, ("PILOTEXT_TOKEN",))
