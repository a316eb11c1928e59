"""The words that ask: which say nothing of what is asked about, and what kind of answer they call for.

Small tables, a row a language, because that is all that is known here of grammar. Where
a collection names no language, or one without a row, the question is read as one of the
language whose words it has most of; English where it has none.
"""

from __future__ import annotations

import re
from enum import Enum
from functools import cache
from typing import Final, NamedTuple


class Kind(Enum):
    """What an answer must hold, as far as the question says."""

    ANY = "any"
    NUMBER = "number"
    """A date, a count, an amount: digits, or a number in words."""
    NAME = "name"
    """Somebody or some place: a capital, where the script has them."""


class _Words(NamedTuple):
    asking: str
    """Words of questions that no answer repeats."""
    number: str
    """Phrases that ask for a number; `a|b` as in a regular expression."""
    name: str
    spaced: bool = True
    """Whether there are spaces between words."""


_TABLE: Final = {
    "en": _Words(
        "what which who whom whose when where why how did do does was were is are am been be being has"
        " have had"
        " can could would will should may might many much kind type name tell explain describe me give"
        " please",
        r"when|how (?:many|much|often|far|long|old|large|big|tall|high|fast|deep|heavy)"
        r"|(?:what|which) (?:year|date|day|month|century|decade|time|age|percentage|percent|number|amount)",
        r"who|whom|whose|where|(?:what|which) (?:city|country|state|town|river|region|continent|person"
        r"|company)",
    ),
    "de": _Words(
        "was welche welcher welches welchen welchem wer wen wem wessen wann wo wohin woher warum wieso"
        " weshalb wie"
        " war waren ist sind sei hat haben hatte hatten wird werden wurde wurden kann können viele viel",
        r"wann|wie (?:viele?|lange|oft|weit|alt|groß|hoch|schnell|schwer)"
        r"|(?:welche[rsnm]?) (?:jahr|datum|monat|jahrhundert|zahl)",
        r"wer|wen|wem|wessen|wo|wohin|woher",
    ),
    "fr": _Words(
        "que quoi quel quelle quels quelles qui quand où pourquoi comment combien est sont était"
        " étaient a ont avait"
        " fut furent ce qu",
        r"quand|combien|quelle? (?:année|date|jour|mois|siècle|nombre|pourcentage|âge)",
        r"qui|où|quelle? (?:ville|pays|région|personne)",
    ),
    "es": _Words(
        "qué que cuál cuáles quién quiénes cuándo dónde adónde por cómo cuánto cuánta cuántos cuántas"
        " es son era eran"
        " fue fueron ha han había",
        r"cuándo|cuánt[oa]s?|qué (?:año|fecha|día|mes|siglo|número|porcentaje|edad)",
        r"quién(?:es)?|a?dónde|qué (?:ciudad|país|región|persona)",
    ),
    "it": _Words(
        "che cosa quale quali chi quando dove perché come quanto quanta quanti quante è sono era erano"
        " fu furono ha"
        " hanno aveva",
        r"quando|quant[oaie]|quale (?:anno|data|giorno|mese|secolo|numero|percentuale|età)|che anno",
        r"chi|dove|quale (?:città|paese|regione|persona)",
    ),
    "pt": _Words(
        "que qual quais quem quando onde aonde por porque como quanto quanta quantos quantas é são era"
        " eram foi foram"
        " há tem",
        r"quando|quant[oa]s?|que (?:ano|data|dia|mês|século|número|percentagem|idade)",
        r"quem|a?onde|que (?:cidade|país|região|pessoa)",
    ),
    "nl": _Words(
        "wat welk welke wie wiens wanneer waar waarheen waarom hoe is zijn was waren heeft hebben had"
        " werd werden"
        " kan veel",
        r"wanneer|hoe (?:veel|lang|vaak|ver|oud|groot|hoog)|hoeveel|welk (?:jaar|getal)",
        r"wie|wiens|waar",
    ),
    "ru": _Words(
        "что какой какая какое какие каких каком кто кого кому чей когда где куда откуда почему зачем"
        " как сколько был"
        " была было были есть",
        r"когда|сколько|как (?:часто|долго|далеко)|каком (?:году|веке)|какой процент",
        r"кто|кого|кому|где|куда|откуда",
    ),
    "ar": _Words(
        "ما ماذا من متى أين لماذا كيف كم أي هل هو هي كان كانت",
        r"متى|كم",
        r"",
    ),
    "hi": _Words(
        "क्या कौन किस किसने किसे कब कहाँ कहां क्यों कैसे कितने कितना कितनी कौनसा कौनसी है हैं था थे थी",
        r"कब|कितन[ेाी]",
        r"",
        spaced=False,
    ),
    "zh": _Words(
        "什么 哪个 哪些 谁 何时 哪里 哪儿 为什么 怎么 怎样 多少 几 是",
        r"多少|何时|什么时候|哪一年|几",
        r"",
        spaced=False,
    ),
    "ja": _Words(
        "何 誰 いつ どこ なぜ どう どの いくつ いくら どれ",
        r"いつ|いくつ|いくら|何(?:年|人|個|月|日|時)",
        r"",
        spaced=False,
    ),
}


def language_of(question: str, language: str) -> str:
    """Return the language that a question is read in: `language` where there is a row for it."""
    if language in _TABLE:
        return language
    words = set(_WORDS.findall(question.casefold()))
    counts = {
        code: sum(each in words if row.spaced else each in question for each in row.asking.split())
        for code, row in _TABLE.items()
    }
    return max(counts, key=lambda code: counts[code])


def asking_words(language: str) -> str:
    """Give the words that ask, of a language that `language_of` gave, with spaces between them."""
    return _TABLE[language].asking


def kind_of(question: str, language: str) -> Kind:
    """Say what kind of answer a question calls for, likewise."""
    number, name = _patterns(language)
    folded = question.casefold()
    if number.search(folded):
        return Kind.NUMBER
    return Kind.NAME if name.search(folded) else Kind.ANY


@cache
def _patterns(language: str) -> tuple[re.Pattern[str], re.Pattern[str]]:
    row = _TABLE[language]
    return _pattern(row.number, spaced=row.spaced), _pattern(row.name, spaced=row.spaced)


def _pattern(phrases: str, *, spaced: bool) -> re.Pattern[str]:
    if not phrases:
        return re.compile("(?!)")
    return re.compile(rf"\b(?:{phrases})\b" if spaced else phrases)


_WORDS: Final = re.compile(r"\w+")
