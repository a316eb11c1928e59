"""Words whose full stop seldom ends a sentence, for `core.sentences`.

A few dozen for each language that is written with a full stop: those that stand before
a capital or a number in ordinary prose. Before a small letter no list is needed. All
languages share one list: what is an abbreviation in one is hardly ever a word that ends
sentences in another, and where it is ("art", "sat"), it was left out.
"""

# ruff: noqa: RUF001, SIM905 - other scripts have letters like ours; lists of words are read as lines

from __future__ import annotations

from typing import Final

NEVER_LAST: Final = frozenset(
    # Titles and ranks: a name follows.
    "dr mr mrs ms prof messrs mme mlle mgr st rev hon gen lt col sgt capt cmdr adm maj sen rep gov pres "
    "hr fr dipl ing sra srta dña ud uds dott dra sig sigg avv mag dhr mevr "
    # What comes next is what they are about.
    "v e.g i.e eg ie cf viz vs esp approx ca bzw z.b d.h u.a v.a bspw ggf vgl evtl zzgl inkl sog p.ej "
    "p.ex par.ex "
    "т.е те напр им гр ул просп акад проф".split()
)
"""Never the last word of a sentence."""

NUMBERED: Final = frozenset(
    "no nos nr num número núm n° fig figs figure eq eqs sec sect ch chap vol vols pp p pg par art arts "
    "abs bd tab ver "
    "ref refs ex app pág págs tel стр рис табл ст гл".split()
)
"""Not the last word before a number: "No. 5", "Fig. 3". Elsewhere like others: "He said no. Nobody ..."."""

SELDOM_LAST: Final = frozenset(
    "inc ltd corp co bros llc jr sr esq etc al et.al ed eds est dept univ assn intl mt ft ave blvd rd "
    "jan feb mar apr jun jul aug sep sept oct nov dec mon tue tues wed thu thur thurs fri "
    "ph.d m.d b.a m.a d.c u.s u.k u.n u.s.a e.u a.m p.m b.c a.d usw hrsg gmbh jh jhd chr env "
    "г гг в вв др т.д т.п руб тыс млн млрд см".split()
)
"""May be the last word of a sentence. It is where a word follows that usually begins one."""

STARTERS: Final = frozenset(
    # A capital word behind an abbreviation is a name, unless it is one of these.
    "the a an this that these those it its he his she her they their we our you your i in on at by for "
    "from to of "
    "as if when while after before since because although though however but and or so yet then there "
    "here what "
    "who where why how which with without during under over between both all each some many most no not "
    "other "
    "another one two three is are was were do does did has have had can could will would may might also "
    "finally "
    "first second today later once until such thus therefore meanwhile according "
    "der die das den dem des ein eine einen er sie es wir ich ihr und oder aber in im am auf mit von zu "
    "für nach bei "
    "dies diese dieser dieses seit während als wenn dann auch nicht alle "
    "le la les un une des il elle ils elles nous vous je ce cette ces et ou mais dans en sur avec pour par "
    "el los las una unos lo su sus este esta y o pero en con para por no se al "
    "il lo gli uno una e ma nel nella con per di da si non "
    "o os as um uma e mas no na em com para por não "
    "de het een en maar hij zij ze wij ik dit dat deze in op met van voor niet "
    "и а но в на он она они оно это этот эта по при с от для как".split()
)
"""Words that begin sentences more often than names do."""

ORDINAL_BEFORE: Final = frozenset(
    "januar jänner februar märz april mai juni juli august september oktober november dezember "
    "jahrhundert jh "
    "jahrhunderts ledna února března dubna května června července srpna září října listopadu prosince "
    "januára februára marca apríla mája júna júla augusta októbra novembra decembra".split()
)
"""What a day or a century stands before, with a full stop for "th": "am 3. Oktober"."""
