"""Calls a Tertulia server by OpenAI's official client, as any program does that knows no other server.

Takes the server's URL (TERTULIA_URL) and a key (TERTULIA_KEY) from the environment. What must hold is asserted here; what was made is
printed as one JSON object, for the test to compare with what the other clients got.
"""

import base64
import hashlib
import json
import os
import struct

import openai

URL = os.environ["TERTULIA_URL"]
client = openai.OpenAI(base_url=f"{URL}/v1", api_key=os.environ["TERTULIA_KEY"], max_retries=0, timeout=60)

MESSAGES = [{"role": "user", "content": "Tell me of a king."}]
SAMPLING = {"model": "default", "temperature": 0.9, "seed": 7, "max_tokens": 24}
made = {}


def refused(kind, call):
    """The error of a call that must fail."""
    try:
        call()
    except kind as error:
        return error
    raise AssertionError(f"{kind.__name__} was not raised")


models = client.models.list()
assert [model.id for model in models.data] == ["default"], models
assert client.models.retrieve("default").object == "model"

text = client.completions.create(prompt="Once upon a time", **SAMPLING)
made["text"] = text.choices[0].text
assert text.usage.completion_tokens <= 24 and text.usage.total_tokens == text.usage.prompt_tokens + text.usage.completion_tokens
assert text.choices[0].finish_reason in ("stop", "length")
assert text.system_fingerprint.startswith("fp_")

chat = client.chat.completions.create(messages=MESSAGES, **SAMPLING)
made["chat"] = chat.choices[0].message.content
assert chat.choices[0].message.role == "assistant" and made["chat"]

pieces, usage, reasons = [], None, []
with client.chat.completions.create(messages=MESSAGES, stream=True, stream_options={"include_usage": True}, **SAMPLING) as stream:
    for chunk in stream:
        if chunk.usage is not None:
            usage = chunk.usage
            assert chunk.choices == []
            continue
        pieces.append(chunk.choices[0].delta.content or "")
        if chunk.choices[0].finish_reason is not None:
            reasons.append(chunk.choices[0].finish_reason)
assert "".join(pieces) == made["chat"], "a stream says what the whole answer says"
assert usage == chat.usage and reasons == [chat.choices[0].finish_reason], (usage, chat.usage, reasons)

several = client.chat.completions.create(messages=MESSAGES, n=2, **SAMPLING)
made["n"] = [choice.message.content for choice in several.choices]
assert [choice.index for choice in several.choices] == [0, 1]
assert made["n"][0] == made["chat"], "the first of several choices has the very seed that was asked for"
streamed = ["", ""]
for chunk in client.chat.completions.create(messages=MESSAGES, n=2, stream=True, **SAMPLING):
    streamed[chunk.choices[0].index] += chunk.choices[0].delta.content or ""
assert streamed == made["n"], (streamed, made["n"])

likely = client.chat.completions.create(messages=MESSAGES, logprobs=True, top_logprobs=2, **SAMPLING)
tokens = likely.choices[0].logprobs.content
assert len(tokens) == likely.usage.completion_tokens, (len(tokens), likely.usage)
assert all(token.logprob <= 0 and len(token.top_logprobs) == 2 for token in tokens)
# A base model answers in a transcript: the white space between "assistant:" and the answer is a token's and not the answer's.
assert likely.choices[0].message.content in bytes(byte for token in tokens for byte in token.bytes).decode(errors="replace")
likely = client.completions.create(prompt="Once upon a time", logprobs=2, **SAMPLING).choices[0]
assert "".join(likely.logprobs.tokens).startswith(likely.text) and likely.logprobs.text_offset[0] == 0
assert all(likely.logprobs.tokens[i] in top for i, top in enumerate(likely.logprobs.top_logprobs))

word = made["text"].split()[-1]
stopped = client.completions.create(prompt="Once upon a time", stop=[word], **SAMPLING).choices[0]
assert stopped.finish_reason == "stop" and word not in stopped.text, (word, stopped)
both = client.completions.create(prompt=["Once upon a time", "There was once"], echo=True, **SAMPLING)
assert both.choices[0].text == "Once upon a time" + made["text"] and both.choices[1].text.startswith("There was once")

picture = client.images.generate(model="gpt-image-1", prompt="a lighthouse", size="128x64").data[0]
png = base64.b64decode(picture.b64_json)
assert png.startswith(b"\x89PNG\r\n\x1a\n") and struct.unpack(">II", png[16:24]) == (128, 64), png[:24]
made["picture"] = hashlib.sha256(png).hexdigest()
speech = {"model": "tts-1", "voice": "alloy", "input": "Once upon a time", "response_format": "flac"}
with client.audio.speech.with_streaming_response.create(**speech) as sound:
    flac = b"".join(sound.iter_bytes())
assert sound.headers["content-type"] == "audio/flac" and flac.startswith(b"fLaC"), flac[:16]
made["speech"] = hashlib.sha256(flac).hexdigest()
error = refused(openai.BadRequestError, lambda: client.audio.speech.create(**speech | {"response_format": "aac"}))
assert error.param == "response_format", error

# The client asks for base64 by itself, and reads it.
INPUTS = ["Once upon a time", "There was once a king.", "Once upon a time"]
embedded = client.embeddings.create(model="default", input=INPUTS)
vectors = [datum.embedding for datum in embedded.data]
assert [datum.index for datum in embedded.data] == [0, 1, 2] and vectors[0] == vectors[2] != vectors[1]
assert all(abs(sum(value * value for value in vector) - 1) < 1e-5 for vector in vectors)
assert embedded.model == "default" and embedded.usage.prompt_tokens == embedded.usage.total_tokens > 0
plain = client.embeddings.create(model="default", input=INPUTS[0], encoding_format="float").data[0].embedding
assert max(abs(a - b) for a, b in zip(plain, vectors[0], strict=True)) < 1e-7
made["embedding"] = [round(value * 1e6) for value in vectors[1]]

stranger = openai.OpenAI(base_url=f"{URL}/v1", api_key="sk-of-somebody-else", max_retries=0)
assert refused(openai.AuthenticationError, stranger.models.list).code == "invalid_api_key"
error = refused(openai.NotFoundError, lambda: client.completions.create(model="gpt-4o", prompt="Once"))
assert (error.code, error.param) == ("model_not_found", "model"), error
tool = {"type": "function", "function": {"name": "clock", "parameters": {"type": "object", "properties": {}}}}
error = refused(openai.BadRequestError, lambda: client.chat.completions.create(messages=MESSAGES, tools=[tool], model="default"))
assert (error.code, error.param) == ("unsupported_parameter", "tools"), error
error = refused(openai.BadRequestError, lambda: client.completions.create(model="default", prompt="word " * 3000))
assert error.code == "context_length_exceeded", error
error = refused(openai.BadRequestError, lambda: client.embeddings.create(model="default", input=["fine", "word " * 3000]))
assert error.code == "context_length_exceeded" and "input[1]" in error.message, error
error = refused(openai.BadRequestError, lambda: client.embeddings.create(model="default", input="fine", dimensions=7))
assert (error.code, error.param) == ("unsupported_parameter", "dimensions"), error

# Who goes away is noticed: the test looks at the server afterwards. (The bias keeps the model from ending its text before.)
stream = client.completions.create(model="default", prompt="Once upon a time", max_tokens=900, stream=True, logit_bias={"0": -100})
next(iter(stream))
stream.close()

print(json.dumps(made))
