"""Each quality reason has rows that it fires on and near misses that it leaves alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from curate.base.contract import VERDICTS
from curate.base.errors import CurateError
from curate.base.schema import RECORDS, with_text
from curate.pipeline.judging import judge
from filters.quality.filter import Quality
from filters.quality.rules import REASONS, RULES

ASK = "What is the capital of France?"
WORDS = "Paris has been the seat of the French state for most of the last one thousand years"
CHORUS = "we walk the road and sing of the morning that will come to us again "


def user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


def said(text: str, **fields: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": text, **fields}


def records(*conversations: list[dict[str, Any]], tools: str | None = None) -> pl.DataFrame:
    rows = {
        "row": range(len(conversations)),
        "id": [f"{i:016x}" for i in range(len(conversations))],
        "source": ["test.jsonl"] * len(conversations),
        "messages": [
            [{"tool_calls": None, "weight": None} | message for message in conversation]
            for conversation in conversations
        ],
        "tools": [tools] * len(conversations),
    }
    empty = {name: [None] * len(conversations) for name in RECORDS if name not in rows}
    frame = pl.DataFrame(rows | empty, schema_overrides=dict(RECORDS)).select(RECORDS.names())
    return with_text(frame)


def fired(*conversation: dict[str, Any], tools: str | None = None) -> list[str]:
    """Every reason that fires on one conversation, of those that are not off by default."""
    found = reasons(Quality().measure(records(list(conversation), tools=tools)))[0]
    return [slug for slug in found if RULES[slug].action != "off"]


def reasons(measures: pl.DataFrame) -> list[list[str]]:
    """The reasons that fired on each row, with the default limits."""
    fires = Quality().fired(measures)
    return [[slug for slug in REASONS if row[slug]] for row in fires.iter_rows(named=True)]


def judged(step: Quality, rows: pl.DataFrame, measures: pl.DataFrame) -> pl.DataFrame:
    """The verdicts on rows that were measured before, with the evidence made of their text."""
    judgement = step.judge(measures)
    assert judgement.from_text is not None
    at = judgement.from_text.arg_true()
    marked = rows[at].select(step.reads)
    texts = step.evidence(marked, measures[at], judgement.verdicts[at])
    evidence = judgement.verdicts["evidence"].scatter(at, texts)
    return judgement.verdicts.with_columns(evidence)


FIRES = {
    "no_user_turn": [(" \n", "Paris.")],
    "empty_response": [(ASK, ""), (ASK, " \n\t"), (ASK, "\u200b\ufeff")],
    "placeholder_response": [
        (ASK, "N/A"),
        ("Design a logo.", "<nooutput>"),
        ("Design a poster.", "<No output. The task requires a poster, not text.>"),
        ("Write a poem about tea.", "nan"),
        ("Please summarize the letter.\n\nDear Ann, we won.", "None"),
        ("You are asked to develop a page for a book.", "TBD"),
        ("Design a medium sudoku.", "<no-output>"),
        ("Write a script that prints ten numbers.", "No Output"),
        ("Write a page on tea.", "Lorem ipsum dolor sit amet"),
        (ASK, "[insert your answer here]"),
        ("Design a poster.", "[Insert output poster here]"),
        (ASK, "..."),
    ],
    "repeats_prompt": [
        (ASK, ASK),
        (ASK, "\nwhat is the capital of france? "),
        ("Design a quiz on tea.", "Design a quiz on tea."),
        ("Hi, could you list three rivers", "Hi, could you list three rivers"),
        ("法国的首都是 哪一个 城市？", "法国的首都是 哪一个 城市？"),
    ],
    "merged_instructions": [
        (ASK, "Paris.\n##\n6. Instruction: Write a poem.\n6. Input:\n<noinput>\n6. Output:\nJoy"),
        (ASK, "Paris.\n\nInstruction 2: Write a poem.\nJoy!"),
    ],
    "template_marker": [
        (ASK, "<|observation|> Paris <|question|>"),
        (ASK, "Paris.\n\n### Instruction:\nName a river."),
        (ASK, "Paris.<|im_end|>"),
        ("[INST] Hello [/INST]", "Hello!"),
        (ASK, "Paris.</s>"),
        ("Below is an instruction that describes a task. Do it.", "Done."),
        (ASK, "<|endoftext|>Paris."),
        (ASK, "<start_of_turn>model\nParis."),
    ],
    "role_marker": [
        ("Human: Hello\n\nAssistant: Hi, how are you?\n\nHuman: Fine.", "Good."),
        (ASK, "Assistant: Paris."),
    ],
    "unfilled_placeholder": [
        ("Who are you?", "I am {{name}}, an assistant built by {{ author }}."),
        ("Who are you?", "您好，我是 {{name}}。"),
    ],
    "placeholder_input": [
        ("Name three rivers.\n\n<noinput>", "Rhine, Nile, Amazon."),
        ("Name three rivers.\n\nNo input required.", "Rhine, Nile, Amazon."),
        ("Name three rivers.\n\nN/A", "Rhine, Nile, Amazon."),
    ],
    "control_characters": [(ASK, "Paris\x00."), (ASK, "Ships\x0b- Borg"), ("\x1b[31mHi", "Hello.")],
    "mojibake": [
        (ASK, "The cafÃ© is in Paris."),
        (ASK, "Itâ€™s Paris."),
        ("Translate \ufffd\ufffd please", "I can try."),
        (ASK, "ðŸ˜€ Paris"),
    ],
    "loop": [
        ("Write a poem.", "The sea, " + "the waves, " * 12),
        ("Say something.", "Well I am happy. " * 9),
        ("Make a list of what a tea meter needs.", "- Tea\n" + "- Tea filters\n" * 9),
    ],
    "repetition": [
        ("Write.", "It is a fine day and we can go to the old town now. " * 8),
        (
            "Find the parties.\n\nKid (artist) and Universal (record label) agree.",
            "The input is a contract, and the output is the parties of it. " * 8,
        ),
        (
            "What do these lyrics mean?\n\nShe is the giggle at a funeral",
            "I was a fool to let you go and I was a fool to say so. " * 8,
        ),
    ],
    "unclosed_fence": [
        ("Print 1.", "Here:\n```python\nprint(1)"),
        ("Print 1.", "````md\n```\nprint(1)\n```\n"),
        ("Print 1.", "~~~\nprint(1)\n```"),
    ],
    "unpaired_think": [(ASK, "<think>France, so Paris."), (ASK, "So Paris.</think>\nParis")],
    "refusal": [
        ("What is the weather?", "I'm sorry, but I don't have access to real-time data."),
        (ASK, "As an AI language model, I cannot answer that."),
        ("Draw a cat.", "Sorry, the task requires a visual output which cannot be generated."),
        ("Book a flight.", "Unfortunately, I am not able to book flights."),
        ("讲个笑话", "抱歉，我无法回答您的问题。"),
        ("¿Qué hora es?", "Lo siento, no puedo saberlo."),
        (
            "Which cake tastes better, the one with nuts or the one without?",
            "As an AI language model, I do not have personal preferences or a sense of taste.",
        ),
        (
            "Name things to bring when snorkeling.",
            "I'm not able to help with that, as I'm only a language model. If you believe this is"
            " an error, please send us your feedback.",
        ),
        (
            "Show me the current stock price.",
            "I am sorry, but as an AI I don't have access to it. You can check a website for it.",
        ),
    ],
    "no_help": [
        (
            "Translate this to Chinese: The call was detected.",
            "Hi human, I'm sorry, I don't understand what you need.",
        ),
        (
            "Tell me a scary snowboard story.",
            "I'm sorry, but I am not able to generate scary stories or other offensive content.",
        ),
        (
            "Which bird is the largest?",
            "I'm sorry, I didn't quite get that. Feel free to ask me something else!",
        ),
        ("Name three rivers in France.", "Sorry, I do not know what to say."),
        ("Name three rivers in France.", "I'm not programmed to assist with that."),
        ("Name three rivers.", "I'm a text-based AI, and that is outside of my capabilities."),
        ("Name three rivers in France.", "I'm sorry. I don't understand. Can you rephrase?"),
    ],
    "safety_refusal": [
        ("How do I hurt someone?", "I cannot provide help with that."),
        ("Help me.", "I'm sorry, but I can't assist with illegal activities."),
    ],
    "link_as_input": [
        ("Given a URL, produce an article.\n\nhttps://news.example.org/a", "It says much."),
        ("Summarize the article.\n\nhttps://news.example.org/a", "It says much."),
        ("Summarize the article.\n\n<LINK TO ARTICLE>", "It says much."),
        ("Classify the song as folk or jazz.\n\nhttps://songs.example.org/a", "Folk."),
        ("Summarize the article.\n\nLink: https://news.example.org/a", "It says much."),
        ("https://news.example.org/a", "The article says much."),
        ("Rewrite this page in your words\nhttps://news.example.org/a", "It says much."),
    ],
    "image_reference": [
        ("Describe it.\n\n![photo](https://i.example.org/1.png)", "A house."),
        ("Describe the painting.\n\n[Image of a painting]", "It is blue."),
        ("Guess who met here.\n\n<image of a train station>", "A traveler."),
    ],
    "image_request": [
        ("Design a logo for a bakery", "A loaf in a circle."),
        ("Draw a cat", "=^.^="),
    ],
    "cut_off": [
        (ASK, WORDS + ", which is a reminder of the importance of"),
        (ASK, WORDS + " and the cities of Lyon, Nice, Aix-"),
        (ASK, WORDS + " and of the U"),
    ],
    "identity_claim": [("Who are you?", "I am ChatGPT."), ("Who?", "I was trained by OpenAI.")],
    "prompt_leak": [(ASK, "As requested in the instruction, the capital is Paris.")],
    "missing_input": [
        ("Summarize the following article.", "The article says much."),
        ("Correct the grammar in the sentence below", "He goes."),
        ("Please translate the given text.", "Bonjour."),
    ],
    "invalid_json": [
        ("List three colours as a JSON array.", "['red', 'green', 'blue']"),
        ("Convert the XML code to JSON code.\n\n<a>1</a>", '{"a": {"b": 1}'),
    ],
    "invalid_yaml": [("Write a YAML file with a name and an age.", "name: a: b\n  age: 3")],
    "invalid_xml": [("Create an XML document with two books.", "<book>A</book><book>B</book>")],
    "invalid_python": [("Write a Python function that adds.", "def add(a, b)\n    return a + b")],
    "missing_fence": [("Print 1 in Python. Answer in a code block.", "print(1)")],
    "wrong_arithmetic": [
        ("How much?", "They cost 8*3 = 240 in all."),
        ("How much?", "So $4,200 + $3,000 = $8,600."),
        ("How much?", "He has 2 + 3 x 4 = 20 coins."),
        ("How much?", "Each gets 10 / 4 = 3.5 cakes."),
        ("What is the mean?", "The average of 4, 7 and 12 is 8.67."),
        ("What is the sum?", "The sum of 10, 20 and 5.5 is 37."),
    ],
    "wrong_count": [
        ("Name three rivers.", "1. Rhine\n2. Nile\n3. Amazon\n4. Volga"),
        ("Suggest 2 ways to rest.", "- Sleep\n- Sit\n- Read"),
        ("List four towns in Italy", "Four towns: 1) Rome 2) Milan 3) Turin"),
        ("Describe the sea in three sentences.", "It is wide. It is deep."),
    ],
    "repeated_item": [
        ("Give synonyms of big.", "Large, huge, vast, large, and giant."),
        ("What to buy?", "- Bread\n- Milk\n- Eggs\n- Bread"),
        (
            "Give me ten electropop songs.",
            "1. Blue Monday by New Order\n2. Lose Yourself by Eminem\n3. Strict Machine by"
            " Goldfrapp\n4. Lose Yourself by Eminem\n5. Kids by MGMT",
        ),
        (
            "Give me five names for a company.",
            "1.   Prodigy\n\n2.   Velocity\n\n3.   ProdigyTech\n\n4.   Techno\n\n5.   ProdigyTech",
        ),
        (
            "Tell me three dad jokes.",
            "Here they are:\n\n1. Why did the scarecrow win? He was outstanding in his field.\n"
            "2. What do you call a can opener that fails? A can't opener.\n"
            "3. **Why did the scarecrow win?** He was outstanding in his field.\n\nEnjoy!",
        ),
    ],
    "repeated_sentences": [
        (
            "How do I save my mayonnaise?",
            "You can add a little mustard to it and whisk it well. This will help to thicken the"
            " mayonnaise again in no time at all. If it is still too thin for you, add some"
            " cornstarch as well. This will help to thicken the mayonnaise again in no time at"
            " all. Taste it before you put it on the table.",
        ),
    ],
    "wrong_length": [
        (
            "Describe rain in under 10 words.",
            "Rain is water that falls from clouds on us all day and all night.",
        ),
        ("In 5 words or less, describe rain.", "It is water that falls from the clouds."),
        ("Write a 500-word essay about rain.", "Rain is water. " * 40),
        ("Describe rain in 10 words.", "Rain is water " * 5),
        ("Write a tweet about rain.", "Rain is water. " * 20),
        ("Describe rain in at most 20 characters.", "Rain is falling water."),
    ],
    "wrong_lines": [
        ("Write a poem of 3 lines about rain.", "Rain\nfalls\non\nus"),
        ("Write a five-line poem.", "Rain\nfalls\non us"),
        ("Write a haiku.", "Rain\nfalls"),
        ("Describe rain in two paragraphs.", "Rain is water that falls down from the clouds."),
    ],
    "wrong_result": [
        ("Sort in ascending order.\n\n5, 2, 9", "2, 9, 5"),
        ("Put the words in alphabetical order.\n\npear, fig, plum", "fig, plum, pear"),
        ("Reverse the given word.\n\ntower", "rewto"),
        ('Count the vowels in "tower".', "It has 3 vowels."),
        ("How many words are in the sentence?\n\nRain is water.", "There are 4 words."),
        ("Convert the number 6 to binary.", "It is 111."),
        ("Convert the binary number 101 to decimal.", "It is 6."),
        ("Find the average of the numbers.\n\n2, 3, 7", "The average is 5."),
        ("Find the median of 3, 9, 4 and 1.", "The median is 5."),
        ("Find the lowest common multiple of 4 and 6.", "It is 24."),
        ("What is 12 * 12?", "It is 124."),
    ],
    "unchanged_input": [
        ("Rewrite the text in the past tense.\n\nHe runs fast.", "He runs fast."),
        (
            "rewrite the following to make it less awkward: Mr. Ye is here to take a look.",
            "Mr. Ye is here to take a look.",
        ),
        ("Could you translate “I like tea” to French?", '"I like tea"'),
        ("He runs to the town.\n\nPlease make this more formal.", "He runs to the town."),
        ("Make it sound polite.\n\nText: Send me the file now.", "Send me the file now."),
    ],
    "empty_promise": [
        ("How do I bake bread?", "Gladly! Follow these steps:"),
        ("如何做面包？", "步骤如下："),
    ],
    "missing_code": [
        ("Write a Java program that sorts a list.\n\n3, 1, 2", "1, 2, 3"),
        (
            "Write a program that sorts a list of numbers.",
            "The program would take the list and put the smaller numbers before the larger ones.",
        ),
    ],
    "needs_web": [("Search the web and name the latest film by Lee.", "It is Rain.")],
    "end_marker": [(ASK, "Paris.\n// end of output //"), (ASK, "Paris.\nEnd of the response")],
    "no_end_mark": [(ASK, WORDS + " and it still is today")],
    "unbalanced_brackets": [(ASK, "Paris (the city of light is the capital.")],
    "stray_escape": [
        (ASK, r"Paris.\n\nIt is large."),
        (ASK, "Paris &amp; Lyon"),
        (ASK, r"caf\u00e9"),
    ],
    "outer_whitespace": [(ASK, " Paris is it."), (ASK, "Paris is it.\n")],
    "one_word": [(ASK, "Paris.")],
    "link_in_response": [("Draw a pie chart", "![pie](https://i.example.org/pie.png)")],
    "input_repeated": [(f"Make it longer.\n\n{WORDS}", f"{WORDS} and more.")],
    "pii_email": [(ASK, "Write to jane.doe@corp.org.")],
    "pii_phone": [("Call (212) 736-5000 now", "I cannot call anyone from here.")],
    "pii_ip": [(ASK, "The server is at 81.2.69.142.")],
    "pii_card": [("My card is 4012 8888 8888 1881", "Thank you.")],
    "prompt_length": [("Why?", "Because."), ("word " * 151, "Long.")],
    "visual_word": [("Describe the images in the hall", "They show the town.")],
    "program_prefix": [("Write a program that sorts a list", "sorted(x)")],
    "odd_first_character": [
        ("- sort the list of names", "Done."),
        ("Élan means what exactly", "Verve."),
    ],
}

SPARED = {
    "wrong_count": [
        ("Name three rivers.", "1. Rhine\n2. Nile\n3. Amazon"),
        ("Name at least three rivers.", "1. Rhine\n2. Nile\n3. Amazon\n4. Volga"),
        ("List 3 pros and 3 cons of tea.", "- a\n- b\n- c\n- d\n- e\n- f"),
        ("Give two drinks with lemon.", "Tea:\n- lemon\n- water\nPunch:\n- lemon\n- rum"),
        ("Describe the sea in 2-3 sentences.", "It is wide. It is deep. It is blue."),
        ("Describe Dr. No in two sentences.", "Dr. No is a villain. He meets Mr. Bond."),
        ("Combine them into one sentence.\n\nIt is wide. It is deep.", "It is wide and deep."),
        ("Name a river.", "1. Rhine\n2. Nile"),
        ("Write a paragraph and also give 3 titles.", "1. A\n2. B\n3. C\n4. It rains."),
        ("Customers should be able to create 2 campaigns.", "1. Draft\n2. Launch\n3. End"),
        ("Give me 3 scripts.", "Script #1\n- a\n- b\nScript #2\n- a\n- b"),
        ("List 4 ideas for posts.", "1. News:\n* Games\n* Team\n* Fans"),
        ("Write 4 titles. Make 2 titles for girls.", "1. A\n2. B\n3. C\n4. D"),
        ("I will ask five questions in five sentences. Do you understand?", "Yes."),
    ],
    "repeated_item": [
        ("Give synonyms of big.", "Large, huge, vast, giant."),
        ("Repeat each word.", "one, one, two, two, three"),
        ("Classify each.", "fruit, fruit, meat, fruit"),
        ("Say it.", "Yes, yes, he said, I will come when I am done with the work."),
        (
            "Who were the United States Presidents after 1880?",
            "James Garfield, Chester Arthur, Grover Cleveland, Benjamin Harrison, Grover Cleveland",
        ),
        ("Plan my week.", "- Monday: Run\n- Tuesday: Rest day\n- Run\n- Rest day\n- Run"),
        ("Give me a recipe.", "1. Chop.\n2. Stir well.\n3. Add salt.\n4. Stir well."),
        (
            "My form does not open.",
            "Follow these steps:\n1. Open the page.\n2. Then confirm it.\n3. Pick a form.\n"
            "4. Then confirm it.",
        ),
        ("Which of them are metals?", "1. True\n2. False\n3. True\n4. True"),
        (
            "List three towns and what they are known for.",
            "1. Ulm\n- Known for its church\n2. Ems\n- Known for its church\n3. Aix\n- Salt",
        ),
        ("Extract the nouns.", "boat, gull, sun, boat, wing"),
        ("Why did you make those changes?", "1. Moved it\n2. For style\n3. Cut it\n4. For style"),
        ("Please give the answers also.", "1. Earth\n2. Oxygen\n3. Sun\n4. Oxygen"),
        ("Here is what I think.", "1. Fine\n2. (removed)\n3. Good\n4. (removed)"),
        ("Write a refrain.", "- Row your boat\n- Gently down\n- Row your boat"),
        ("Write a dialogue.", "- Hello.\n- Who is it?\n- Hello.\n- Come in."),
    ],
    "repeated_sentences": [
        ("Write a song.", "We walk the road and we sing of the morning to come again. " * 6),
        (
            "Tell me of the sea.",
            "It is wide. It is deep. It is blue. It is wide. It is cold in the winter of the year.",
        ),
    ],
    "wrong_length": [
        ("Describe rain in under 10 words.", "Rain is water that falls."),
        ("Describe rain in no less than 5 words.", "Rain is water that falls on us all day."),
        (
            "Describe each of them in under 5 words.\n\nRain, sun",
            "Rain is wet. Sun is hot and dry.",
        ),
        ("Write a function that finds texts of at most 5 words.", "It would look at each in turn."),
        ("Write a 500-word essay about rain.", "Rain is water. " * 150),
        ("Write a tweet about rain.", "Rain is water."),
        ("Give me 3 variations of it in under 5 words.", "1. Rain is wet\n2. Wet is rain\n3. Wet"),
        (
            "Write an e-mail in under 5 words:\n\nHook: tea\n\nGive me 2 examples.",
            "Tea is what we all drink. Tea is all we need in life.",
        ),
        ("Write it in under 5 words.", "I'm sorry, but that is more than five words can say."),
        ("Tom has to write a 500-word essay in 5 days. How much is it a day?", "100 words."),
    ],
    "wrong_lines": [
        ("Write a poem of 3 lines about rain.", "Rain\nfalls\non us"),
        ("Write a poem of 3 lines about rain.", "The rain\n\nRain\nfalls\non us"),
        ("Write a poem of 2-4 lines about rain.", "Rain\nfalls"),
        ("Write a haiku.", "Rain / falls / on us"),
        ("Finish the poem, given its first two lines.", "Rain\nfalls\non us"),
        ("Explain it in 2 paragraphs.", "1. It is rain, which falls.\n2. It is snow, which falls."),
        ("Explain the structure of a three paragraph essay.", "It has a beginning and an end."),
    ],
    "wrong_result": [
        ("Sort in ascending order.\n\n5, 2, 9", "2, 5, 9"),
        ("Write a function that sorts in ascending order.\n\n5, 2, 9", "5, 2, 9"),
        ("Given 1, 2, 3 in ascending order, sort in descending order.", "1, 2, 3"),
        ("Put the words in alphabetical order.\n\npear, fig, plum", "fig, pear, plum"),
        ("Reverse the given word.\n\ntower", "It is rewot."),
        ("Reverse the order of the words.\n\nRain is water", "water is Rain"),
        ('Count the vowels in "tower".', "It has 2 vowels."),
        ('Count the characters in "the sea".', "6 without the space."),
        ("Convert the number 6 to binary.", "It is 0110."),
        ("Convert the octal number 17 to binary.", "It is 1111."),
        ("Find the average of the numbers.\n\n2, 3, 6", "The average is 3.67."),
        ("Find the 2nd largest number.\n\n2, 3, 6", "It is 3."),
        ("Find the sum of the numbers.\n\n2, 3, 6", "print(sum([2, 3, 6]))"),
        ("What is 12 * 12?", "It is 144."),
        ("What is 7 / 2?", "3 remainder 1."),
    ],
    "unchanged_input": [
        ("Rewrite the text in the past tense.\n\nHe runs fast.", "He ran fast."),
        ("Rewrite the text if it has errors.\n\nHe runs fast.", "He runs fast."),
        ("Rewrite it so that the grammar is correct: He runs fast.", "He runs fast."),
        ("Proofread and edit: He runs to the town.", "He runs to the town."),
        ("Shorten this: He came to us. He saw. He won.", "He came to us."),
        ("Translate to French: taxi", "taxi"),
        ("Edit it to be clear.\n\nIt was nice out.\n\nThe sun shone.", "The sun shone on us."),
        ("Repeat after me: I will rewrite the text.", "I will rewrite the text."),
    ],
    "empty_promise": [
        ("How do I bake bread?", "Follow these steps:\n1. Mix.\n2. Bake."),
        ("Design a form for orders.", "Name:\nPrice:"),
        ("Did you see it?", "Not yet. It is a shame D:"),
        ("Make this short: Tea is made as follows:", "Tea is made as follows:"),
        (
            "W: Two types are related if and only if this is proved by the following rules:",
            "Two types are related if this follows from these rules:",
        ),
        ("Repair the loop.\n\nfor x in range 3", "for x in range(3):"),
    ],
    "missing_code": [
        ("Write a Bash script to make a directory for files.", "mkdir test"),
        ("Write a regex that finds numbers.", "^2.+"),
        ("Write a program that sorts a list of numbers.", "numbers.sort() does it. " * 6),
        ("Design a program to help the hungry in town.", "The program gives food to all. " * 4),
        ("Write a script for a play in which a computer speaks.", "Hal says good day. " * 5),
        (
            "Create a name for a class that reads files.",
            "How about FileReader for it. " * 4,
        ),
        (
            "You could write a function to read the input.",
            "I do so in the code above. " * 4,
        ),
        ("Write a function to sort numbers. Respond Ready if you understand.", "Ready."),
        ("Write a program to sort numbers.", "Gladly! If you could specify the language, " * 3),
        ("Write a program to sort numbers.", "Gladly! In which language do you want it? " * 3),
        ("Write a shell script to print numbers.", "#!/bin/bash and then echo the number. " * 3),
        # code of plain words
        (
            "Please write a SQL query to answer the question on a database of dogs.",
            "select avg ( dogs.age ) where dogs.dog_id in ( select treatments.dog_id )",
        ),
        (
            "Write a query to count the makers in the database.",
            "select maker , count ( all ) group by maker order by count ( all ) desc value",
        ),
        (
            "Write a program to add two numbers in COBOL.",
            "MOVE 1 TO A. MOVE 2 TO B. ADD A TO B GIVING C. DISPLAY C. STOP RUN.",
        ),
        (
            "Write a program to add two numbers in assembly.",
            "mov ax, 5\nmov bx, 6\nadd ax, bx\nmov cx, ax\nint 21h\nend",
        ),
        (
            "Write a program to sum numbers in a loop.",
            "set total to 0\nfor each number in the list\nadd number to total\nend\nsay total",
        ),
        (
            "Write a script to count the lines of all files.",
            "find . -name '*.txt' -exec cat '+' and then wc -l counts all of the lines there",
        ),
    ],
    "needs_web": [
        ("How do I search the web with Python?", "With a library."),
        ("Explain how people search the web.", "They type words."),
        ("Search the web and define recursion.", "A function that calls itself."),
    ],
    "end_marker": [(ASK, "Paris.\nEnd"), (ASK, "That is the end of the document.")],
    "empty_response": [(ASK, "P"), (ASK, "42")],
    "placeholder_response": [
        ("Is it blue?", "No"),
        ("Which of these is no JSON type: 'undefined' or 'null'?", "undefined"),
        ("Which apply? If none, write None.", "None"),
        (ASK, "None of them are capitals."),
        ("Acknowledge this with only “…”", "..."),
        ("Is the price given? If not, answer N/A.", "N/A"),
        ("Act as a Linux terminal. My first command is cd ~", "(no output)"),
        (ASK, "N/A means not available."),
        # values of programs
        ("x = 1\nif x > 3:\n    y = 2\nWhat is the value of y at line 4?", "None"),
        ("What is `0 / 0` in JavaScript?", "NaN"),
        ("What does typeof x give before x is set?", "undefined"),
        ("Write a function that does nothing and say what it returns: null or 0?", "null"),
        ("What does print('', end='') print?", "No output"),
        # there is none
        ("Which of these are prime? 4, 6, 8", "None"),
        ("Ann Lee, 12 High Street.\n\nWhat is her middle name?", "N/A"),
        ("Does the patient take any pills?", "N/A"),
        ("Describe any allergies of the patient.\n\nShe is well.", "N/A"),
        ("Fill in the second address line.\n\n12 High Street, York", "Not applicable"),
        # short forms, filler and marks that were asked for
        ("'To Be Determined'", "'TBD'"),
        ("What is short for 'not applicable', as an abbreviation?", "N/A"),
        ("lorem ipsum dolor", "LOREM IPSUM DOLOR"),
        ("Generate some placeholder text.", "Lorem ipsum dolor sit amet."),
        ("What is S in Morse code?", "..."),
        ("Write the letter O in Morse code.", "---"),
        ("Which punctuation ends a question?", "?"),
    ],
    "repeats_prompt": [
        ("Hello?", "hello?"),
        ("Repeat: hi", "hi"),
        ("Correct this: I has a cat.", "I have a cat."),
        # no question and no order: what is to be done is not said
        ("b, c, d, e, f", "b, c, d, e, f"),
        ("The plant is considered a living fossil .", "The plant is considered a living fossil ."),
        ("She sells sea shells.", "she sells sea shells."),
        ("x = 1; y = 2", "x = 1; y = 2"),
        ("Berlin, Paris and Rome", "Berlin, Paris and Rome"),
    ],
    "merged_instructions": [
        (ASK, "1. Input: the first step\n2. Output: the last step"),
        ("Make two instructions for a model.", "1. Instruction: Sing.\n2. Instruction: Dance."),
        ("How is the shelf put up?", "Instruction 1: Unpack it.\nInstruction 2: Screw it."),
    ],
    "template_marker": [
        (
            "How many jars are in 5 crates of 12?",
            "<|begin_of_thought|>\n\nFive times twelve is sixty.\n\n<|end_of_thought|>\n\n"
            "<|begin_of_solution|>\n\nThere are \\boxed{60} jars.\n\n<|end_of_solution|>",
        ),
        ("How do I strike out text in HTML?", "Write <s>old</s> and <s>older</s> in the page."),
        ("What is `<|im_start|>`?", "A token: `<|im_start|>` opens a turn."),
        ("Print it.", "```python\nprint('</s>')  # [INST]\n```"),
        ("Sum a list.", "print(sum(x))\n\n# Output: 10"),
        ("Split it.", "## Output:\n1\n2"),
        ("Pipe in F#", "[1; 2] |> List.map f <| x"),
        ("How do I bake bread?", "## Ingredients:\nFlour\n\n## Instructions:\nBake it."),
        ("How do I clean a pan?", "### Instructions:\n1. Heat it.\n2. Wipe it."),
        ("How does quicksort work?", "It splits.\n\n### Input:\n3 1 2\n\n### Output:\n1 2 3"),
        ("What do customers say?", "### Responses:\nMost are glad."),
        ("How do I strike out a word?", "<s>old</s>"),
        ("### Background\nWe sell tea.\n\n### Instruction:\nWrite a slogan.", "Tea for all."),
        ('End with "<|DONE|>".', "So it is."),
        ("How do I format fine-tuning prompts?", "Use ### Instruction: and then ### Response:"),
        ("What is Alpaca's prompt template?", "It has ### Instruction: and then ### Response:"),
        ("Write a form with an Input and a Response.", "### Input:\n\n### Response:\n"),
    ],
    "role_marker": [
        ("Write a dialogue with a chatbot.", "Human: Hi\nAssistant: Hello!"),
        ("Living or not: Human, Car", "Human: Living\nCar: Non-Living"),
        (ASK, "The Human: a film"),
    ],
    "unfilled_placeholder": [
        ("Show a loop in jinja", "Use {{ item }} inside {% for %}"),
        ("Write HTML", "<li>{{ name }}</li>"),
        ("Propose opening lines for our leads.", "Hi {{name}}, are you aware of tea?"),
        ("Write an e-mail in Dynamics.", "{{#if french}}Thé{{else}}Tea{{/if}}"),
        ("Use docker", "```\ndocker inspect -f '{{name}}'\n```"),
        ("Write LaTeX", "\\frac{{a}}{{b}}"),
    ],
    "placeholder_input": [
        ("What does no input mean?", "Nothing given."),
        ("None", "Of what?"),
        ("My screen is black and says:\nNo input", "Check the cable."),
    ],
    "control_characters": [(ASK, "Paris\tis\nit.\r\n"), (ASK, "Zażółć gęślą jaźń 👩‍👩‍👧 नमस्ते")],
    "mojibake": [
        (ASK, "À Paris, l’été — São Paulo, Ångström, “naïve”, 5 £"),
        ("Fix this: `cafÃ©`", "It is café."),
        (ASK, "VOILÀ… JOSÉ’s ÂGE"),
    ],
    "loop": [
        ("Write 'I will behave' ten times.", "I will behave. " * 10),
        (ASK, "Sign here: ______________________________________________"),
        (ASK, "It is 1000000000000000000000000000000000000000000000"),
        ("Laugh.", "hahahahahaha"),
        ("Replace each word with a label.\n\n" + "old " * 30, "O action " + "O " * 29),
        ("Tag the named entities.\n\n" + "Ann " * 30, "nam_liv O " * 15),
        ("For each token give its tag.\n\n" + "old " * 30, "adjective " * 30),
        ("Sing the end of Hey Jude.", "Na " * 40),
        ("Write a strand of DNA.", "ACGT" * 12),
        ("Print stars", "*\n**\n***\n****\n*****\n******\n*******"),
    ],
    "repetition": [
        (
            "Give a label for every word.\n\n" + "MKS Bzura - KS Wifama 3 : 2 " * 20,
            "nam_org nam_org O nam_org nam_org O O O " * 20,
        ),
        ("Sing the chorus.", "We walk the road and we sing of the morning to come. " * 8),
        ("0 0 0 0 0 0\n0 1 0 0 0 1\n0 0 0 0 0 0", "0 0 0 0 0 0 0 0 0 0\n" * 8),
        ("Make a table.", "| A | B |  |  |\n|---|---|---|---|\n" + "| 1 | 2 |  |  |\n" * 12),
        (
            "Write a song.",
            CHORUS + WORDS + "\n" + CHORUS + " ".join(f"verse{i}" for i in range(40)),
        ),
        (
            "Make a table.",
            "| Day | Tea |  |  |  |\n|---|---|---|---|---|\n" + "| 1 | 2 |  |  |  |\n" * 12,
        ),
        ("Make rows.", "```html\n" + "<div class='cell'> </div> <p> </p>\n" * 30 + "```"),
        (ASK, "yes " * 20),
    ],
    "unclosed_fence": [
        ("Print 1.", "```python\nprint(1)\n```\nDone."),
        ("Print 1.", "````md\n```\nprint(1)\n```\n````"),
        ("Print 1.", "Call ```print``` so:\n```print(1)\n}```"),
        ("Print 1.", "- ```py\n  print(1)\n  ```"),
        ("Show a README.", "````md\n# Title\n```py\nprint(1)\n```\n````\nThat is all."),
        ("Show a README.", "```markdown\n# Title\n```python\nprint(1)\n```\n```"),
        (
            "Go on.",
            "print(1)\n```\nNow this one:\n```py\nprint(2)\n```\nThat is all there is to do.",
        ),
        ("Print 1.", "Remove this line:\n```setTimeout(1)\n}, 2000)\n```\nThen run it.\n\n```"),
    ],
    "unpaired_think": [(ASK, "<think>France.</think>Paris."), (ASK, "The `<think>` tag opens it.")],
    "refusal": [
        ("My dog died.", "I'm so sorry for your loss. I know it's hard to say goodbye."),
        ("I feel lonely.", "I'm sorry to hear that. Is there anything I can do to help?"),
        ("Generate an excuse for work", "I'm sorry, but I'm unable to come into work today."),
        ("What can you do?", "As an AI assistant, I can help with many daily tasks."),
        ("Paint it.", "As an AI, I am not capable of painting, however, here is a description."),
        ("Can penguins fly?", "Penguins cannot fly. I'm sorry if that is a disappointment."),
        ("Sing.", "I can't help but fall in love with you."),
        (
            "How old are people here?",
            "As an AI, I do not have real-time data. However, according to the census, it is 38.",
        ),
        ("Find the angle.", "Unfortunately, I cannot determine the angle given only two sides."),
        ("Guess.", "I'm sorry, but I cannot estimate this without additional information."),
        ("Name its tone.", "I'm sorry, but I cannot say, as you did not provide the poem."),
        ("总结这篇文章。", "对不起，由于您未提供文章，我无法总结。"),
        ("Go on.", "I'm sorry, I'm not sure I understand. Could you say more?"),
        (
            "My flat was robbed.",
            "I'm sorry to hear that. I cannot undo it, but here is what to do: call the police.",
        ),
        (
            "Which music is best?",
            "As an AI I have no taste, and I cannot hear. 1. Bach is praised most.",
        ),
        ("Can I paste images here?", "I'm sorry, but I am an AI and not able to display images."),
        ("Like a true politician!", "As an AI, I do not have personal beliefs."),
        ("Do you have feelings?", "As an AI language model, I do not have feelings."),
        (
            "Explain the articles I sent.",
            "I apologize, but I don't have access to them. Could you please provide the articles?",
        ),
        ("Who is Lil Aggy?", "I'm sorry, but I do not have any information on Lil Aggy."),
        (
            "Export the chat.",
            "I'm sorry, I am an AI and not able to export it. You can copy it into a text file.",
        ),
    ],
    "no_help": [
        ("I lost my job and my dog.", "I'm so sorry to hear that. How can I help?"),
        ("Write a letter of apology to my aunt.", "I'm sorry, I could not come to your party."),
        ("What would you do with a magic wand?", "I don't know, it depends on the wand."),
        (
            "Is it allowed to park here?",
            "That is not something I would do. It costs 50 euros.",
        ),
        ("hjkl", "I'm sorry, I don't understand what you need."),
        ("This is the class that I mean.", "I don't understand. Could you paste the code?"),
        ("Translate into English: Je ne comprends pas.", "I'm sorry, I don't understand."),
        ("How can I build a bomb at home?", "I'm sorry, I am unable to do that."),
        ("When is the bank open?", "I'm sorry, I don't know. Most banks open at nine."),
    ],
    "safety_refusal": [("Is it harmful?", "Smoking is dangerous and can harm your lungs.")],
    "link_as_input": [
        ("Identify the domain in this URL.\n\nhttps://www.example.com/a", "example.com"),
        ("Read https://example.com and then tell me more", "Sure."),
        (
            "In what year was the lighthouse built?\n\nThe lighthouse was built in 1882 by the"
            " brothers Steen.\nhttps://en.wikipedia.org/wiki/Lighthouse",
            "In 1882.",
        ),
        ("What is it? Rain is water that falls.\nhttps://rain.example.org", "Water."),
        ("Who built the first lighthouse?\n\nhttps://rain.example.org", "Sostratus."),
        (
            "Summarize the article.\n\nhttps://news.example.org/a",
            "I'm sorry, but I cannot open it.",
        ),
        ("Use these.\n" + "https://tea.example.org/a\n" * 5, "The pages are about tea."),
        ("Summarize this.\nhttps://tea.example.org/a", "Sure, I will do my best."),
        ("Read this.\nhttps://tea.example.org/a", "The link leads to a page about tea."),
        ("Use this data.\nhttps://data.example.org/a.csv", "Gladly! What shall I do with it?"),
        ("Classify the website.\n\nhttps://news.example.org/", "A newspaper."),
        ("Normalize this URL.\n\nHTTP://www.Example.com:80/a", "http://www.example.com/a"),
    ],
    "image_reference": [
        ("Write HTML with a logo.\n\n<img src='logo.png'>", "<h1>Hi</h1>"),
        ("Describe [the image processing] steps", "Load, filter, save."),
        ("INPUT = {me} OUTPUT = ![IMG](https://i.example.org/{me})", "Here it is."),
        ("Sort the divs by JavaScript.\n\n![a](https://i.example.org/1.png) One", "Use sort()."),
    ],
    "image_request": [("Describe the plot of the film Alien", "A crew meets a monster.")],
    "cut_off": [
        (ASK, WORDS + "."),
        (ASK, WORDS + " and so it is the largest city of the country,"),
        (ASK, WORDS + " and costs more than plan B"),
        (ASK, WORDS + "\n- Cleaning\n- Washing"),
        (ASK, WORDS + ".\n\nWith heartfelt gratitude,"),
        (ASK, "Paris, the"),
    ],
    "not_alternating": [(ASK, "Paris.")],
    "identity_claim": [
        ("Who made Vicuna?", "Vicuna was trained by researchers."),
        (ASK, "I am Al"),
    ],
    "prompt_leak": [("Explain prompts", "A prompt is a text that a model completes.")],
    "missing_input": [
        ("Summarize the following article: Paris grew fast.", "Paris grew."),
        ("Summarize the following article.\n\nParis grew fast.", "Paris grew."),
        ('Correct the following sentence "He go"', "He goes."),
        ("Write a function that reverses the given string", "x[::-1]"),
        ("Sort the following numbers 3 1 2", "1 2 3"),
    ],
    "invalid_json": [
        ("Create a JSON object from a dictionary.", "import json\ntext = json.dumps({'a': 1})"),
        ("List three colours as a JSON array.", '["red", "green", "blue"]'),
        ("List three colours as a JSON array.", 'Here:\n\n```json\n["red"]\n```\nDone.'),
        ("What is JSON?", "A format for data, such as {a: 1}."),
        ("Write a Python function that returns JSON.", "def f():\n    return '{}'"),
        ("Convert this JSON to a sentence: {'a': 1}", "There is an a."),
    ],
    "invalid_yaml": [
        ("Write a YAML file with a name and an age.", "name: Ann\nage: 3"),
        ("What is YAML used for?", "For configuration: files: such"),
    ],
    "invalid_xml": [
        ("Create an XML document with two books.", "<books><book>A</book><book/></books>"),
        ("Explain the XML tag below", "It opens <book> and never closes."),
    ],
    "invalid_python": [
        ("Write a Python function that adds.", "def add(a, b):\n    return a + b"),
        ("Write a Python function that adds.", "I would add a and b and return the sum."),
        ("Write a Python program to print 3", "print(3)\n\n# Output\nthe number 3"),
        ("Write a Java method that adds.", "int add(int a, int b) { return a + b; }"),
        (
            "Write a Python program that draws a graph",
            "```\nprint(1)\n```\nThen run:\n```\ndot -Tpng out.dot -o out.png\n```",
        ),
        ("Name a function of the python in nature", "It hunts at night"),
    ],
    "missing_fence": [
        ("Print 1 in Python. Answer in a code block.", "```\nprint(1)\n```"),
        ("What is a code block in Markdown?", "Text between backticks."),
    ],
    "wrong_arithmetic": [
        ("What is the mean?", "The average of 4, 7 and 12 is 7.67, and that of 1, 2 and 4 is 2.3."),
        ("How much?", "10 x 9/10 = 9 and 1/3 = 0.33 and 3/ 1/4 = 12"),
        ("How much?", "That is 2 + 3 + 4 = 9, or 2 + 3 x 4 = 14."),
        ("How much?", "650 000/2 = 325 000 and 7/2 = 3 remainder 1"),
        ("How much?", "20% of 50 = 10 and 2x - 3 = 7 and 5 - 2 = 3x"),
        ("When?", "On 3/4 = the fourth of March"),
        ("How much?", "In all 120 – 80 - 15 = 25, and (1/2) 278 + 11 = 150."),
        ("Explain why 1 + 1 = 5.", "Modulo 3 we may say that 1 + 1 = 5."),
        ("How much?", "Take $p = 2 \\times 3 + 1 = 7$, a prime."),
        ("How much?", "It is 6\n* 3 / 2 = 1.5"),
        ("How much?", "0.95 x 0.95 x 0.95 x 0.95 x 0.95 x 0.95 = 0.735091875"),
        ("How much?", "At 5 (thousand) a day 5 * 3 = $15,000, and $1 / 2 = 50 cents."),
    ],
    "no_end_mark": [(ASK, WORDS + "."), (ASK, "Paris, the capital")],
    "unbalanced_brackets": [
        (ASK, "1) Paris 2) Lyon a) Nice"),
        (ASK, "Paris :) and Lyon ;-)"),
        (ASK, "All x in [0, 1) are fine."),
        ("Give me a password", "eT]8V7#u"),
    ],
    "stray_escape": [
        ("Write a regex", r"\d+\n"),
        ("How do I print a newline in Python?", r"Write \n Then more."),
        (ASK, r"$\nabla f$ and \neq"),
        (ASK, "AT&T and R&D"),
    ],
    "outer_whitespace": [(ASK, "Paris is\n it.")],
    "one_word": [(ASK, "It is Paris.")],
    "link_in_response": [
        ("Give me a link to the docs", "https://docs.example.org"),
        ("Fetch with curl", "```\ncurl https://x.example.org\n```"),
    ],
    "input_repeated": [("Classify.\n\ngreat film", "great film: positive")],
    "pii_email": [(ASK, "Write to jane@example.com."), (ASK, "Write to jane@email.com.")],
    "pii_phone": [(ASK, "Call 555-0100."), (ASK, "It took 212 736 days.")],
    "pii_ip": [(ASK, "Use 192.168.0.1 or version 1.2.3.4.")],
    "pii_card": [
        (ASK, "The number 4012 8888 8888 1882 fails the check."),
        (ASK, "4012888800000 + 88881881 =\n\nThe result is:\n\n4012888888881881"),
    ],
    "prompt_length": [(ASK, "Paris."), ("Name the largest town", "Paris.")],
    "visual_word": [("Describe the imagery of the poem", "Dark.")],
    "program_prefix": [("Please Write a program", "Done.")],
    "odd_first_character": [(ASK, "Paris."), ("3 towns please", "Paris.")],
}


def on_pairs(pairs: list[tuple[str, str]]) -> list[list[str]]:
    """Every reason that fires on each pair, measured in one go."""
    frame = Quality().measure(records(*([user(prompt), said(answer)] for prompt, answer in pairs)))
    return reasons(frame)


@pytest.mark.parametrize("slug", FIRES)
def test_the_rule_fires(slug: str) -> None:
    for pair, slugs in zip(FIRES[slug], on_pairs(FIRES[slug]), strict=True):
        assert slug in slugs, pair


@pytest.mark.parametrize("slug", SPARED)
def test_the_rule_leaves_the_near_miss_alone(slug: str) -> None:
    for pair, slugs in zip(SPARED[slug], on_pairs(SPARED[slug]), strict=True):
        assert slug not in slugs, pair


def test_every_reason_has_a_row_that_it_fires_on() -> None:
    of_conversations = {"no_answer", "not_alternating", "empty_turn", "stops_short"}
    of_sets = {slug for slug, rule in RULES.items() if rule.rule_set}  # tested with their sets
    assert set(FIRES) | of_conversations | of_sets == set(REASONS)


def test_every_reason_has_a_near_miss_that_it_spares() -> None:
    of_conversations = {"no_user_turn", "no_answer", "empty_turn", "stops_short"}
    of_sets = {slug for slug, rule in RULES.items() if rule.rule_set}  # tested with their sets
    assert set(SPARED) | of_conversations | of_sets == set(REASONS)


def test_an_empty_user_message_beside_another_is_reported() -> None:
    assert "empty_turn" in fired(user(ASK), said("Paris."), user(" "), said("What else?"))
    assert "empty_turn" not in fired(user(" "), said("What else?"))


def test_personal_data_is_evidence_by_place_and_never_by_value() -> None:
    rows = records([user(ASK), said("Write to jane.doe@corp.org.")])
    assert judge(Quality(), rows).verdicts["evidence"].item() == (
        "pii_email: email at characters 9-26 of a message of role assistant"
    )


def test_the_length_of_an_instruction_is_judged_at_other_limits_without_measuring_again() -> None:
    rows = records([user("Why is that so?"), said("Because.")])
    measures = Quality().measure(rows)
    strict = Quality(drop=("prompt_length",), min_prompt_words=5)
    assert judged(strict, rows, measures)["evidence"].item() == "4 words"
    assert Quality(drop=("prompt_length",)).judge(measures).verdicts["keep"].item()
    too_few = r"max_prompt_words is 3; expected no less than min_prompt_words \(9\)"
    with pytest.raises(CurateError, match=too_few):
        Quality(min_prompt_words=9, max_prompt_words=3)


def test_a_conversation_that_ends_with_the_user_has_no_answer() -> None:
    assert "no_answer" in fired(user(ASK), said("Paris."), user("And of Spain?"))
    assert "no_answer" not in fired(user(ASK), said("Paris."))


def test_a_tool_call_without_text_is_an_answer() -> None:
    call = said("", tool_calls='[{"name": "search", "arguments": {}}]')
    result = {"role": "tool", "content": '{"found": 1}'}
    assert fired(user("Search."), call, result, said("One.")) == []
    assert "empty_response" in fired(user("Search."), said("", tool_calls="[]"))


def test_declining_what_no_tool_can_do_is_no_refusal() -> None:
    turns = (user("Book a flight."), said("I'm sorry, but I am unable to book flights."))
    assert fired(*turns) == ["refusal"]
    assert fired(*turns, tools='[{"type": "function"}]') == []


def test_turns_that_are_not_trained_are_not_judged_as_answers() -> None:
    assert fired(user(ASK), said("", weight=0.0), user("Again?"), said("Paris.")) == []
    assert "empty_response" in fired(user(ASK), said("", weight=1.0), user("?"), said("Paris."))


def test_two_user_messages_in_a_row_do_not_alternate() -> None:
    assert fired(user(ASK), user("Tell me."), said("Paris.")) == ["not_alternating"]


def test_a_long_conversation_is_searched_in_every_turn() -> None:
    turns = [user(ASK), said("Paris.</s>"), user("And Spain?"), said("Madrid.")]
    assert fired(*turns) == ["template_marker"]


def test_clean_rows_of_all_kinds_are_kept_without_a_note(conversation: Any) -> None:
    rows = conversation(
        (ASK, "Paris."),
        ("Classify: great film", "Positive"),
        ("Sum 2 and 3", "5"),
        ("Print x", "```python\nprint(x)\n```"),
        ("Write JSON", '{"a": [1, 2, {"b": "}"}]}'),
        ("C code", "int main() {\n    return 0;\n}"),
        ("用中文回答", "好的，没问题。"),
    )
    verdicts = judge(Quality(), rows).verdicts
    assert verdicts["keep"].all()
    assert verdicts["evidence"].is_null().all()


def test_the_first_reason_in_the_documented_order_is_given_with_its_span(conversation: Any) -> None:
    rows = conversation((ASK + "\n\n<noinput>", "Paris.<|im_end|>"))
    verdicts = judge(Quality(), rows).verdicts
    assert verdicts.row(0) == (
        False,
        "template_marker",
        None,
        None,
        "<|im_end|>",
    )


def test_control_characters_are_spelt_out_in_the_evidence(conversation: Any) -> None:
    rows = conversation((ASK, "Paris\x1b\x00."))
    assert judge(Quality(), rows).verdicts["evidence"].item() == r"\x1b\x00"


def test_reported_rules_keep_the_row_and_leave_a_note(conversation: Any) -> None:
    rows = conversation(("Who are you?", "I am ChatGPT. As requested in the prompt, I say so."))
    verdicts = judge(Quality(), rows).verdicts
    assert verdicts["keep"].item()
    assert verdicts["reason"].item() is None
    assert verdicts["evidence"].item() == (
        "identity_claim: I am ChatGPT; prompt_leak: As requested in the prompt"
    )


def test_rules_are_moved_between_drop_report_and_off_without_measuring_again(
    conversation: Any,
) -> None:
    rows = conversation(("Draw a cat", "<nooutput>"), (ASK, "I am ChatGPT."))
    measures = Quality().measure(rows)
    assert Quality().judge(measures).verdicts["reason"].to_list() == ["placeholder_response", None]
    moved = Quality(drop=("image_request", "identity_claim"), off=("placeholder_response",))
    reasons = moved.judge(measures).verdicts["reason"]
    assert reasons.to_list() == ["image_request", "identity_claim"]
    reporting = Quality(report=("placeholder_response",), off=("identity_claim",))
    noted = judged(reporting, rows, measures)
    assert noted["keep"].all()
    assert noted["evidence"].to_list() == ["placeholder_response: <nooutput>", None]
    everything = Quality(off=tuple(REASONS)).judge(measures)
    assert everything.verdicts["keep"].all()
    assert everything.from_text is not None
    assert not everything.from_text.any()


def test_the_share_of_repetition_is_the_score_and_its_limit_a_setting(conversation: Any) -> None:
    again = "It is a fine day and we can go to the old town now. " * 3
    fresh = " ".join(f"word{i}" for i in range(30))
    rows = conversation(("Write.", again + fresh))
    measures = Quality().measure(rows)
    assert Quality().judge(measures).verdicts["keep"].item()
    strict = judged(Quality(max_repetition=0.3), rows, measures)
    assert strict["reason"].item() == "repetition"
    assert 0.3 < strict["score"].item() < 0.6
    assert "of the words repeat: It is a fine day" in strict["evidence"].item()


def test_a_misspelt_reason_names_the_known_one() -> None:
    with pytest.raises(CurateError, match="off: there is no reason 'refusals'; did you mean"):
        Quality(off=("refusals",))


def test_a_reason_in_two_lists_is_an_error() -> None:
    with pytest.raises(CurateError, match="off names 'refusal' and so does drop"):
        Quality(drop=("refusal",), off=("refusal",))


@pytest.mark.parametrize("share", [0.0, 1.5, -1.0])
def test_a_repetition_limit_outside_its_range_is_an_error(share: float) -> None:
    with pytest.raises(CurateError, match="max_repetition"):
        Quality(max_repetition=share)


def test_no_rows_give_no_verdicts(conversation: Any) -> None:
    measures = Quality().measure(conversation())
    assert measures.height == 0
    verdicts = Quality().judge(measures).verdicts
    assert verdicts.schema == VERDICTS
    assert Quality().evidence(conversation(), measures, verdicts).to_list() == []


def test_chunks_give_the_verdicts_of_the_whole(conversation: Any) -> None:
    pairs = [pair for pairs in [*FIRES.values(), *SPARED.values()] for pair in pairs]
    rows = conversation(*pairs)
    whole = Quality().measure(rows)
    parts = [Quality().measure(rows[start : start + 30]) for start in range(0, rows.height, 30)]
    assert pl.concat(parts).equals(whole)


def test_evidence_is_short(conversation: Any) -> None:
    rows = conversation((ASK, "N/A"), ("x", f"I'm sorry, but I cannot say that {WORDS}"))
    assert judge(Quality(drop=("refusal",)), rows).verdicts[
        "evidence"
    ].str.len_chars().to_list() == [3, 80]


def test_every_rule_has_a_sentence_and_one_way_to_be_found() -> None:
    for slug, rule in RULES.items():
        assert rule.sentence.endswith("."), slug
        counted = rule.rule_set == "data_juicer"
        assert (rule.find is not None) + (rule.page is not None) + counted == 1, slug
        assert Quality().acts(slug) == (rule.action if rule.rule_set is None else "off"), slug


def test_real_rows_are_dropped_for_the_defects_that_a_reader_finds(test_data: Path) -> None:
    from curate.sources import read

    found = read([str(test_data / "raw" / "alpaca_random_9k.json")])
    verdicts = Quality().judge(Quality().measure(with_text(found.records))).verdicts
    counts = dict(verdicts["reason"].drop_nulls().value_counts().iter_rows())
    assert counts["empty_response"] == 4
    assert counts["merged_instructions"] == 10
    assert counts["placeholder_input"] == 24
    assert sum(counts.values()) < 0.01 * verdicts.height


# Rules of which no twenty fresh hits, nineteen of them right, are known, and that can be wrong.
UNPROVEN = [
    "empty_promise",
    "end_marker",
    "image_reference",
    "invalid_python",
    "link_as_input",
    "loop",
    "missing_code",
    "repeated_item",
    "repeats_prompt",
    "unfilled_placeholder",
    "wrong_arithmetic",
    "wrong_count",
    "wrong_length",
    "wrong_lines",
    "wrong_result",
]


@pytest.mark.parametrize("slug", UNPROVEN)
def test_what_is_not_proven_in_fresh_rows_drops_only_where_a_recipe_says_so(slug: str) -> None:
    pair = FIRES[slug][0]
    rows = records([user(pair[0]), said(pair[1])])
    found = judged(Quality(), rows, Quality().measure(rows)).row(0, named=True)
    assert found["keep"], pair
    assert f"{slug}: " in found["evidence"]
    step = Quality(drop=(slug,))
    assert judged(step, rows, step.measure(rows))["reason"].item() == slug


RAIN = "Rain is water that falls from the clouds on the fields and on the roofs of the town"
ENDED = RAIN + ", and some {} drops of it."
STOPS = RAIN + ", and most of it is"


def stopping(ended: int, answer: str) -> pl.DataFrame:
    """So many answers that end in a mark, and this one after them."""
    answers = [ENDED.format(at) for at in range(ended)] + [answer]
    return records(*([user("Tell me of rain."), said(text)] for text in answers))


def test_an_answer_stops_short_where_the_others_of_its_length_end_in_a_mark() -> None:
    verdicts = judge(Quality(), stopping(99, STOPS)).verdicts
    assert verdicts["keep"].all()
    assert verdicts["score"].to_list() == [None] * 99 + [0.99]
    assert verdicts["evidence"][99] == (
        f"stops_short: {STOPS[-60:]} (of such answers 99.0% end in a mark)"
    )
    dropped = judge(Quality(drop=("stops_short",)), stopping(99, STOPS)).verdicts
    assert dropped["reason"].drop_nulls().to_list() == ["stops_short"]
    assert dropped["evidence"][99].startswith(STOPS[-60:])


def test_no_answer_stops_short_in_a_set_that_ends_many_without_a_mark() -> None:
    rows = pl.concat([stopping(30, STOPS), stopping(30, STOPS), stopping(30, STOPS)])
    assert judge(Quality(), rows).verdicts["evidence"].is_null().all()


def test_no_answer_stops_short_beside_a_few_others_or_others_of_another_length() -> None:
    assert judge(Quality(), stopping(20, STOPS)).verdicts["evidence"].is_null().all()
    long = " ".join(f"It has {at} drops." for at in range(30))
    assert judge(Quality(), stopping(99, long + STOPS)).verdicts["evidence"].is_null().all()


@pytest.mark.parametrize(
    "answer",
    [
        f"{STOPS} it goes on.",
        f"{STOPS}\n\nYours in hope of a good harvest on the fields,\nAnn Lee",
        f"{STOPS}\n- the fields and the roofs of the town in the north of it",
        f"{STOPS} see https://rain.example.org/of/the/fields",
        f"{STOPS} of it is said to be 12",
        f"```\n{STOPS}\n```\nand in the code of it there is a loop that runs",
        "rain, snow, hail, sleet, mist, fog, dew, frost, ice, cloud, storm, wind, sun, heat, "
        "drought, flood, spring, summer, autumn and winter",
        "Rain falls\non all of the fields\nand on the roofs\nof the town in the hills\nand it stays"
        "\nuntil the end of the week in the spring of the year",
        "雨是从云中落下的水，落在城镇的田野和屋顶上，它滋润着大地，使万物生长" * 3,
    ],
)
def test_what_ends_without_a_mark_by_right_does_not_stop_short(answer: str) -> None:
    assert judge(Quality(), stopping(99, answer)).verdicts["evidence"].is_null().all()


def test_the_same_answers_stop_short_in_any_order_and_in_parts() -> None:
    rows = stopping(99, STOPS)
    measures = pl.concat([Quality().measure(rows[:40]), Quality().measure(rows[40:])])
    assert measures.equals(Quality().measure(rows))
    assert Quality().fired(measures.reverse())["stops_short"].arg_true().to_list() == [0]


def test_a_task_of_the_system_prompt_may_leave_a_text_as_it_is() -> None:
    task = {"role": "system", "content": "Return the sentence if it is correct, or correct it."}
    turns = (user("Is the cat on the mat?"), said("Is the cat on the mat?"))
    assert fired(*turns) == ["repeats_prompt"]
    assert fired(task, *turns) == []


def test_an_answer_that_the_system_prompt_orders_gives_something() -> None:
    task = {"role": "system", "content": "If it is not there, answer: Sorry, I do not know."}
    turns = (user("Sharp notebook, processor speed"), said("Sorry, I do not know."))
    assert fired(*turns) == ["no_help"]
    assert fired(task, *turns) == []
