"""What is taken from the answers of language models: one caption, or nothing with a reason."""

import time

import pytest

from e2.adapters.composed.answers import LONGEST_CAPTION, read_caption
from e2.adapters.composed.lexicon import Value
from e2.adapters.composed.reasoning import NoCaption
from e2.adapters.composed.rewriting import Rewriting, answered, failed, tally, told

CAPTION = "A red hooded coat"
SPECIAL = "<|channel|>analysis<|message|>They want red.<|end|><|start|>assistant<|channel|>final<|message|>"


@pytest.mark.parametrize(
    "answer",
    [
        "A red hooded coat",
        '"A red hooded coat"',
        "**A red hooded coat**",
        "### A red hooded coat",
        "<b>A red hooded coat</b>",
        "A red\u200b hooded coat\ud83d",
        "A red hooded coat (changed from navy)",
        "A red hooded coat<|im_end|>\n<|im_start|>user\nWish: blue",
        "<|im_start|>assistant\nA red hooded coat<|im_end|>",
        # reasoning
        "<think>\nRed, then.\n</think>\n\nA red hooded coat",
        "They want red.</think>A red hooded coat",
        "<thinking>Red</thinking>A red hooded coat",
        "<THOUGHTS>Red</THOUGHTS>A red hooded coat",
        "<reasoning>\nRed\n</reasoning>\nA red hooded coat",
        "<reflection>Red</reflection><answer>A red hooded coat</answer>",
        "[THINK]Red[/THINK]A red hooded coat",
        "◁think▷Red◁/think▷A red hooded coat",
        "<seed:think>Red</seed:think>A red hooded coat",
        "<|START_THINKING|>Red<|END_THINKING|><|START_RESPONSE|>A red hooded coat<|END_RESPONSE|>",
        "<|begin_of_thought|>Red<|end_of_thought|><|begin_of_solution|>A red hooded coat<|end_of_solution|>",
        f"{SPECIAL}A red hooded coat<|return|>",
        "analysisThey want red.assistantfinalA red hooded coat",
        "<|channel>thought\nRed\n<channel|>A red hooded coat",
        "Reasoning: they want red.\nCaption: A red hooded coat",
        "Step 1: look\nStep 2: think\nFinal caption: A red hooded coat",
        "<|inner_prefix|>They want red<|inner_suffix|>A red hooded coat<|assistant_end|>",
        "Here is my thought process:\nThey want red.\nHere is my response:\nA red hooded coat",
        "Thinking...\nThey want red.\n...done thinking.\n\nA red hooded coat",
        "Thought for 3 seconds\n\nA red hooded coat",
        # control tokens of further families
        "A red hooded coat[|endofturn|]",
        "A red hooded coat<｜end▁of▁sentence｜>",
        "<|CHATBOT_TOKEN|>A red hooded coat<|END_OF_TURN_TOKEN|>",
        "<think>red</think>\n<|begin_of_box|>A red hooded coat<|end_of_box|>",
        "[INST] A navy coat, red [/INST] A red hooded coat</s>",
        # chatter and labels
        "Here is the edited caption:\n\nA red hooded coat",
        'Sure! Here\'s a caption for the wanted product:\n"A red hooded coat"',
        "Sure! Here's the caption: A red hooded coat",
        'Certainly. Here is the edited caption: "A red hooded coat"',
        'The edited caption would be "A red hooded coat"',
        "**Caption:** A red hooded coat",
        "Edited Description: A red hooded coat",
        "New Caption - A red hooded coat",
        "Here you go: A red hooded coat",
        "Yes. A red hooded coat",
        "→ A red hooded coat",
        "~~~\nA red hooded coat\n~~~",
        "Answer: A red hooded coat\nExplanation: I changed the colour.",
        "Caption: A navy coat\nWish: is red and has a hood\nNew caption: A red hooded coat",
        "Caption: A navy coat\nWish: is red and has a hood\nA red hooded coat",
        # several
        "- A red hooded coat\n- A red coat with hood",
        "1. A red hooded coat\n2. A red coat",
        "Here are two options:\na) A red hooded coat\nb) A red coat",
        "**Option 1:** A red hooded coat\n**Option 2:** A red coat",
        # structured
        "```\nA red hooded coat\n```",
        '```json\n{"caption": "A red hooded coat"}\n```\nHope this helps!',
        '{"caption": "A red hooded coat"}',
        "{'caption': 'A red hooded coat'}",
        '{"caption": "A navy coat", "wish": "red", "new_caption": "A red hooded coat"}',
        'Here it is: {"captions": ["A red hooded coat", "A coat"]}',
        '["A red hooded coat"]',
        '{"reasoning": "red", "final_caption": "A red hooded coat"}',
        '{"original": "A navy coat", "edited": "A red hooded coat"}',
        "<new_caption>A red hooded coat</new_caption>",
        "<output><caption><![CDATA[A red hooded coat]]></caption></output>",
        '"{\\"caption\\": \\"A red hooded coat\\"}"',
        '{"caption": "{\\"caption\\": \\"A red hooded coat\\"}"}',
        '{caption: "A red hooded coat",}',
        '<tool_call>{"name": "answer", "arguments": {"caption": "A red hooded coat"}}</tool_call>',
        '{"name": "answer", "arguments": "{\\"caption\\": \\"A red hooded coat\\"}"}',
        '{"type": "object", "properties": {"caption": "A red hooded coat"}}',
        "| Original | New |\n|---|---|\n| A navy coat | A red hooded coat |",
        "| Field | Value |\n|---|---|\n| Caption | A red hooded coat |",
        "---\ncaption: A red hooded coat\n---",
        r"$\boxed{\text{A red hooded coat}}$",
        r"The answer is $\boxed{\text{A red hooded coat}}$.",
        "\x1b[32mA red hooded coat\x1b[0m",
        # headings, arrows, remarks, other languages
        "<details><summary>Thoughts</summary>They want red</details>\nA red hooded coat",
        "## New caption\n\nA red hooded coat",
        "**New caption**\n\nA red hooded coat\n\n**Explanation**\n\nRed now.",
        "a navy coat → A red hooded coat",
        '"A navy coat" becomes "A red hooded coat"',
        'Okay, so the caption would be: "A red hooded coat".',
        "AI: A red hooded coat",
        "A red hooded coat — navy replaced by red",
        "Based on your wish, the new caption is: A red hooded coat",
        "Got it! A red hooded coat",
        "Try this: A red hooded coat",
        "Assistant: A red hooded coat",
        "✅ **A red hooded coat** 🧥",
        "「A red hooded coat」",
        'Voici la légende modifiée : "A red hooded coat"',
        "Bildunterschrift: A red hooded coat",
        "新标题：A red hooded coat",
    ],
)
def test_the_caption_is_found_in_any_answer(answer):
    assert read_caption(answer, "A navy coat", "is red and has a hood") == CAPTION


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ("<think>\nOkay, the user wants the coat", "still reasoning"),
        ("[THINK]Red", "still reasoning"),
        ("<|channel|>analysis<|message|>The wish is red", "still reasoning"),
        ("<|channel>thought\nRed", "still reasoning"),
        ("analysisThe user wants red", "still reasoning"),
        ("", "empty"),
        ("<think></think>\n", "empty"),
        ("```\n```", "empty"),
        ("...", "empty"),
        ("I'm sorry, but I can't help with that.", "refused"),
        ("I cannot see the photo", "refused"),
        ("As an AI, I have no photos", "refused"),
        ("As a language model, I cannot see images.", "refused"),
        ("Unable to comply.", "refused"),
        ("My apologies, but no", "refused"),
        ("It is not possible to do so", "refused"),
        ("Your request violates our policy", "refused"),
        ("Je suis désolé, je ne peux pas", "refused"),
        ("Es tut mir leid, das kann ich nicht", "refused"),
        ("N/A", "says nothing"),
        ('{"caption": "None"}', "says nothing"),
        ("undefined", "says nothing"),
        ("Error: model overloaded", "says nothing"),
        ("HTTP 500", "says nothing"),
        ("Okay, the user wants the coat to be red, so I should", "chatter"),
        ("Could you send the caption?", "chatter"),
        ("You edit captions of product photos. You get the caption of a photo", "repeats the prompt"),
        ("Changed navy to red.", "chatter"),
        ("Would you like anything else?", "chatter"),
        ("Without seeing the photo I can't say.", "refused"),
        ("很抱歉，我无法完成这个请求。", "refused"),
        ("申し訳ありませんが、できません。", "refused"),
        ("No changes needed.", "chatter"),
        ("The caption remains the same.", "chatter"),
        ('Change "navy" to "red": A red hooded coat', "chatter"),
        ("red red red red red red red", "repeats itself"),
        ("Thinking...\nThey want a red coat", "still reasoning"),
        ('{"name": "search", "arguments": {"query": "red coat"}}', "JSON without a caption"),
        ("No image was provided.", "refused"),
        ("This content violates our policy.", "refused"),
        ("Internal Server Error", "says nothing"),
        ("Rate limit exceeded", "says nothing"),
        ("OK", "says nothing"),
        ("Done.", "empty"),
        ("A", "says nothing"),
        ('{"error": "overloaded"}', "JSON without a caption"),
        ("~~A navy coat~~ A red coat", "plain text"),
        ("print('A red coat')", "plain text"),
        ("Is red and has a hood.", "empty|repeats"),
        ("Caption: A navy coat\nWish: is red and has a hood", "empty"),
        ('{"caption": "A red', "broken JSON"),
        ('{"caption": "A red coat", "caption": "A blue coat"}', "names 'caption' twice"),
        ('{"colour": "red", "hood": true}', "JSON without a caption"),
        ('{"caption": null}', "JSON without a caption"),
        ("<div class='x'>A red coat</div>", "plain text"),
        ("red " * LONGEST_CAPTION, "longer than a caption"),
    ],
)
def test_anything_else_is_refused_with_a_reason(answer, reason):
    with pytest.raises(NoCaption, match=reason):
        read_caption(answer, "A navy coat", "is red and has a hood")


def test_colons_of_captions_are_no_labels_and_a_line_cut_off_is_not_used():
    for caption in (
        "Nike Men: red coat",
        "Red tee, 'Let's go' print",
        'Red tee that says "I have no idea"',
        "Done tee, 12 in",
        "AI Riders biker jacket, black",
    ):
        assert read_caption(caption) == caption
    assert read_caption("A red coat\nWish: with a ho", cut=True) == "A red coat"
    with pytest.raises(NoCaption, match="empty"):
        read_caption("A red coat with a ho", cut=True)


def test_a_rewriting_is_its_text_and_knows_how_it_came_about():
    found = [answered("A coat", "A red coat"), answered("A coat", "a coat"), failed("A coat", "red", "HTTP 500")]
    assert found == ["A red coat", "a coat", "A coat, red"]
    assert [each.status for each in found] == ["rewritten", "kept", "failed"]
    assert found[2].steps == {"failed": "HTTP 500"}
    puzzled = Rewriting("A coat", "kept", "no word was understood", ["cheaper"], [Value("colour", "Red", "colour:red")])
    assert puzzled.steps == {"kept": "no word was understood", "unwanted": ["Red"], "not understood": "cheaper"}
    counts = {"rewritten": 2, "kept": 2, "failed": 1, "not_understood": 1, "reasons": {"HTTP 500": 1}}
    assert tally(told([*found, puzzled, "a plain text"])) == counts


@pytest.mark.parametrize("piece", ["<think>", "</think><think>", "<answer>", "[INST]", "<|channel|>final", "[", "{a:"])
def test_an_endless_answer_is_refused_at_once(piece):
    began = time.monotonic()
    with pytest.raises(NoCaption):
        read_caption(piece * (100_000 // len(piece)))
    assert time.monotonic() - began < 3
