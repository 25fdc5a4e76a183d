"""What a message asks for, as patterns: is it a question or an order at all?

Tasks are also given without either (a bare text to simplify, names to put in order). Of what is to
be done with them nothing is known, so some rules look at questions and orders only.
"""

from __future__ import annotations

_BEGINS = (
    r"(?:\A|[\n.!?:;]\s*)\W*"
    r"(?:(?:please|kindly|now|then|and|also|just|ok(?:ay)?|hi|hello|hey|so|next|first)\b[, ]*)*"
    r"(?:(?:can|could|would|will) you (?:please |kindly )?(?:help me (?:to )?)?"
    r"|help me (?:to )?|I(?:['’]d like| would like| want| need) you to |your task is to "
    r"|you (?:will|have to|must|should|need to|are asked to) )?(?:please )?"
)
_MAKES = (
    r"(?:write|compose|create|generate|make|produce|design|develop|build|implement|draw|sketch"
    r"|paint|record|explain|describe|discuss|summari[sz]e|translate|rewrite|rephrase|paraphrase"
    r"|draft|imagine|outline|plan|brainstorm|convert|come up with|construct|narrate|illustrate"
    r"|tell me about|tell (?:me )?a)"
)
_DOES = (
    r"(?:tell|list|name|give|provide|suggest|recommend|propose|show|find|identify|classify"
    r"|categori[sz]e|determine|calculate|compute|solve|count|sort|arrange|rank|compare|contrast"
    r"|analy[sz]e|evaluate|assess|rate|predict|estimate|prepare|choose|select|pick|match|fill"
    r"|complete|continue|add|remove|delete|replace|insert|extract|research|search|look|offer"
    r"|share|help|define|answer|respond|state|mention|organi[sz]e|format|edit|change|turn|pretend"
    r"|act|recite|advise|guide|teach|check|review|use|take|put|do)"
)

# Something is to be written or drawn, which cannot turn out to be nothing.
ORDERS_TEXT = rf"(?i){_BEGINS}{_MAKES}\b"
# A question, or an order of any kind. Only English orders are known.
ASKS = rf"[?？؟¿]|(?i){_BEGINS}(?:{_MAKES}|{_DOES})\b|[请請]"
# A question of one line, with nothing to look into.
PLAIN_QUESTION = r"\A[^\n`]*[?？]\s*\z"
