"""The counters of a server, for Prometheus."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from cotdistill.serving.system import Reply

_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)


class Metrics:
    """The counters of one server; `text` is the page that Prometheus reads."""

    def __init__(self) -> None:
        own = self._registry = CollectorRegistry()
        self.requests = Counter(
            "cotdistill_requests", "Requests by status.", ["status"], registry=own
        )
        self.seconds = Histogram(
            "cotdistill_request_seconds", "Seconds to an answer.", buckets=_SECONDS, registry=own
        )
        self.in_flight = Gauge("cotdistill_in_flight", "Answers under way.", registry=own)
        self.answers = Counter(
            "cotdistill_answers", "Answers, and texts that hold none.", ["kind"], registry=own
        )
        self.tokens = Counter(
            "cotdistill_tokens", "Tokens by role and kind.", ["role", "kind"], registry=own
        )
        self.escalations = Counter(
            "cotdistill_escalations", "Questions put to the teacher.", ["outcome"], registry=own
        )

    def count(self, reply: Reply) -> None:
        """Count an answer and its tokens."""
        self.answers.labels("none" if reply.answer.answer is None else "answered").inc()
        if reply.escalated or reply.failure:
            self.escalations.labels("failed" if reply.failure else "answered").inc()
        for role, one in reply.completions:
            self.tokens.labels(role, "prompt").inc(one.prompt_tokens)
            self.tokens.labels(role, "completion").inc(one.completion_tokens)

    def text(self) -> bytes:
        """Return the page."""
        return generate_latest(self._registry)
