// Calls a Tertulia server by OpenAI's official client, as any program does that knows no other server.
//
// Takes the server's URL (TERTULIA_URL) and a key (TERTULIA_KEY) from the environment. What must hold is asserted here; what was made is
// printed as one JSON object, for the test to compare with what the other clients got.
"use strict";

const assert = require("node:assert/strict");
const { createHash } = require("node:crypto");
const OpenAI = require("openai");

const baseURL = `${process.env.TERTULIA_URL}/v1`;
const client = new OpenAI({ baseURL, apiKey: process.env.TERTULIA_KEY, maxRetries: 0, timeout: 60_000 });
const messages = [{ role: "user", content: "Tell me of a king." }];
const sampling = { model: "default", temperature: 0.9, seed: 7, max_tokens: 24 };

const sha256 = (bytes) => createHash("sha256").update(bytes).digest("hex");

async function main() {
  const made = {};
  const models = await client.models.list();
  assert.deepEqual(models.data.map((model) => model.id), ["default"]);
  assert.equal((await client.models.retrieve("default")).object, "model");

  const text = await client.completions.create({ prompt: "Once upon a time", ...sampling });
  made.text = text.choices[0].text;
  assert.equal(text.usage.total_tokens, text.usage.prompt_tokens + text.usage.completion_tokens);
  assert.match(text.system_fingerprint, /^fp_/);

  const chat = await client.chat.completions.create({ messages, ...sampling });
  made.chat = chat.choices[0].message.content;
  assert.ok(made.chat);

  let [said, usage, reason] = ["", null, null];
  const stream = await client.chat.completions.create({ messages, stream: true, stream_options: { include_usage: true }, ...sampling });
  for await (const chunk of stream) {
    said += chunk.choices[0]?.delta.content ?? "";
    reason ??= chunk.choices[0]?.finish_reason;
    usage ??= chunk.usage;
  }
  assert.equal(said, made.chat, "a stream says what the whole answer says");
  assert.deepEqual([usage, reason], [chat.usage, chat.choices[0].finish_reason]);

  const several = await client.chat.completions.create({ messages, n: 2, ...sampling });
  made.n = several.choices.map((choice) => choice.message.content);
  const streamed = ["", ""];
  for await (const chunk of await client.chat.completions.create({ messages, n: 2, stream: true, ...sampling })) {
    streamed[chunk.choices[0].index] += chunk.choices[0].delta.content ?? "";
  }
  assert.deepEqual(streamed, made.n);

  const likely = await client.chat.completions.create({ messages, logprobs: true, top_logprobs: 2, ...sampling });
  const tokens = likely.choices[0].logprobs.content;
  assert.equal(tokens.length, likely.usage.completion_tokens);
  assert.ok(tokens.every((token) => token.logprob <= 0 && token.top_logprobs.length === 2));

  const word = made.text.trim().split(/\s+/).at(-1);
  const stopped = (await client.completions.create({ prompt: "Once upon a time", stop: word, ...sampling })).choices[0];
  assert.equal(stopped.finish_reason, "stop");
  assert.ok(!stopped.text.includes(word));

  const picture = (await client.images.generate({ model: "gpt-image-1", prompt: "a lighthouse", size: "128x64" })).data[0];
  const png = Buffer.from(picture.b64_json, "base64");
  assert.equal(png.toString("latin1", 1, 4), "PNG");
  assert.deepEqual([png.readUInt32BE(16), png.readUInt32BE(20)], [128, 64]);
  made.picture = sha256(png);
  const speech = { model: "tts-1", voice: "alloy", input: "Once upon a time", response_format: "flac" };
  const sound = await client.audio.speech.create(speech);
  const flac = Buffer.from(await sound.arrayBuffer());
  assert.equal(flac.toString("latin1", 0, 4), "fLaC");
  made.speech = sha256(flac);
  await assert.rejects(client.audio.speech.create({ ...speech, response_format: "aac" }), OpenAI.BadRequestError);

  const inputs = ["Once upon a time", "There was once a king."];
  const embedded = await client.embeddings.create({ model: "default", input: inputs });
  const plain = await client.embeddings.create({ model: "default", input: inputs[1], encoding_format: "float" });
  const distance = plain.data[0].embedding.map((value, index) => Math.abs(value - embedded.data[1].embedding[index]));
  assert.ok(Math.max(...distance) < 1e-7, "numbers and base64 say the same");
  assert.ok(embedded.usage.prompt_tokens > 0);
  made.embedding = Array.from(embedded.data[1].embedding, (value) => Math.round(value * 1e6));

  const stranger = new OpenAI({ baseURL, apiKey: "sk-of-somebody-else", maxRetries: 0 });
  await assert.rejects(stranger.models.list(), OpenAI.AuthenticationError);
  await assert.rejects(client.completions.create({ model: "gpt-4o", prompt: "Once" }), OpenAI.NotFoundError);
  const tool = { type: "function", function: { name: "clock", parameters: { type: "object", properties: {} } } };
  await assert.rejects(client.chat.completions.create({ model: "default", messages, tools: [tool] }), (error) => {
    assert.ok(error instanceof OpenAI.BadRequestError);
    assert.deepEqual([error.code, error.param], ["unsupported_parameter", "tools"]);
    return true;
  });

  // Who goes away is noticed: the test looks at the server afterwards. (The bias keeps the model from ending its text before.)
  const endless = { model: "default", prompt: "Once upon a time", max_tokens: 900, stream: true, logit_bias: { 0: -100 } };
  const dropped = await client.completions.create(endless);
  for await (const _ of dropped) {
    dropped.controller.abort();
    break;
  }
  console.log(JSON.stringify(made));
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
