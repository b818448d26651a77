"""OpenAI's client, whose addresses the host does not have: the refusal says what it has instead. Argument: HTTP's URL."""

import sys

from openai import NotFoundError, OpenAI

client = OpenAI(api_key="none", base_url=f"{sys.argv[1]}/v1", max_retries=0)
for call in (
    lambda: client.chat.completions.create(model="fp32", messages=[{"role": "user", "content": "hi"}]),
    lambda: client.completions.create(model="fp32", prompt="hi"),
    lambda: client.embeddings.create(model="fp32", input="hi"),
):
    try:
        call()
        raise AssertionError("there is no such address")
    except NotFoundError as error:
        answer = error.response.json()
        assert answer["code"] == "unknown_endpoint", answer
        assert answer["error"].startswith("no such endpoint") and "/docs" in answer["error"], answer
print("all")
