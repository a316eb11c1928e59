"""What an answer says where the sources hold none, in the language of the collection."""

from __future__ import annotations

from typing import Final

_ENGLISH: Final = "The sources do not answer this question."

_TEXTS: Final = {
    "ar": "لا تجيب المصادر عن هذا السؤال.",
    "cs": "Zdroje na tuto otázku neodpovídají.",
    "da": "Kilderne besvarer ikke dette spørgsmål.",
    "de": "Die Quellen beantworten diese Frage nicht.",
    "el": "Οι πηγές δεν απαντούν σε αυτή την ερώτηση.",  # noqa: RUF001 # Greek
    "es": "Las fuentes no responden a esta pregunta.",
    "fi": "Lähteet eivät vastaa tähän kysymykseen.",
    "fr": "Les sources ne répondent pas à cette question.",
    "hi": "स्रोत इस प्रश्न का उत्तर नहीं देते।",
    "hu": "A források nem válaszolnak erre a kérdésre.",
    "id": "Sumber-sumber tidak menjawab pertanyaan ini.",
    "it": "Le fonti non rispondono a questa domanda.",
    "ja": "情報源にはこの質問への答えがありません。",
    "ko": "출처에 이 질문에 대한 답이 없습니다.",
    "nl": "De bronnen beantwoorden deze vraag niet.",
    "no": "Kildene besvarer ikke dette spørsmålet.",
    "pl": "Źródła nie odpowiadają na to pytanie.",
    "pt": "As fontes não respondem a esta pergunta.",
    "ro": "Sursele nu răspund la această întrebare.",
    "ru": "Источники не отвечают на этот вопрос.",
    "sv": "Källorna besvarar inte denna fråga.",
    "tr": "Kaynaklar bu soruyu yanıtlamıyor.",  # noqa: RUF001 # Turkish
    "uk": "Джерела не відповідають на це запитання.",
    "vi": "Các nguồn không trả lời câu hỏi này.",
    "zh": "来源没有回答这个问题。",
}


def no_answer(language: str) -> str:
    """Say it in a language by its ISO 639-1 code; in English where that is not known here."""
    return _TEXTS.get(language, _ENGLISH)
