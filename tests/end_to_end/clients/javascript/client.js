// Calls a Tertulia server by OpenAI's official client, as any program does that knows no other server.
//
// Takes the server's URL (TERTULIA_URL) and a key (TERTULIA_KEY) from the environment. What must hold is asserted here; what was made is
// printed as one JSON object, for the test to compare with what the other clients got.
"use strict";

const assert = require("node:assert/strict");
const OpenAI = require("openai");

const baseURL = `${process.env.TERTULIA_URL}/v1`;
const client = new OpenAI({ baseURL, apiKey: process.env.TERTULIA_KEY, maxRetries: 0, timeout: 60_000 });
const messages = [{ role: "user", content: "Tell me of a king." }];
const sampling = { model: "default", temperature: 0.9, seed: 7, max_tokens: 24 };

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
