"""The table of what is refused."""

from lab.http1_corpus import CORPUS
from rempart.net.http1.rules import Refusal, Rule


def test_each_rule_is_its_own() -> None:
    """Two rules with one text would be one rule to whoever reads the log."""
    assert len({rule.value for rule in Rule}) == len(list(Rule)) == len(Rule.__members__)
    assert {rule.status for rule in Rule} == {400, 408, 414, 431, 500, 501, 503, 505}


def test_each_rule_that_bytes_can_break_is_in_the_corpus() -> None:
    broken = {item.refused for item in CORPUS.values()}
    others = {
        Rule.HEADER_TIME,
        Rule.CONNECTIONS,
        Rule.CONNECTIONS_OF_ADDRESS,
        Rule.INTERNAL,
        Rule.MALFORMED,  # for what a later llhttp may say in other words
    }
    assert set(Rule) - broken == others


def test_a_refusal_says_what_its_rule_says() -> None:
    refusal = Refusal(Rule.HOST_TWICE, "192.0.2.1")
    assert (refusal.status, refusal.reason) == (400, "there is more than one Host header")
