"""Embeddings from Alcove with OpenAI's own client: only the address and the key differ."""

import os

from openai import OpenAI

client = OpenAI(base_url=os.environ.get("ALCOVE", "http://127.0.0.1:8080") + "/v1", api_key=os.environ["ALCOVE_KEY"])
texts = ["a cat sits on the mat", "a kitten rests on a rug", "quarterly tax report"]
reply = client.embeddings.create(model="default", input=texts)
vectors = [item.embedding for item in reply.data]
for i, text in enumerate(texts):
    likeness = sum(a * b for a, b in zip(vectors[0], vectors[i]))
    print(f"{likeness:.3f}  {text}")
print(f"{len(vectors[0])} dimensions, {reply.usage.prompt_tokens} tokens")
