// Chat, legacy completions and the Responses API, whole and streamed.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { apiKey, collect, forwardKey, newClient, uniquePrompt, upstreamRequests, user, weatherAndTime } from './support.mjs';

const client = newClient();

const textOf = (chunks) => chunks.map((c) => c.choices[0]?.delta.content ?? '').join('');

test('chat', async () => {
  const prompt = uniquePrompt();
  const completion = await client.chat.completions.create({ model: 'gpt-4o-mini', messages: user(prompt) });
  assert.equal(completion.choices[0].message.content, `You said: ${prompt}`);
  assert.equal(completion.choices[0].finish_reason, 'stop');
  assert.equal(completion.usage.total_tokens, completion.usage.prompt_tokens + completion.usage.completion_tokens);
  assert.match(completion._request_id, /^req_upstream_/, "the upstream's request id reaches the client");
});

test('the forward key is swapped for the API key', async () => {
  const prompt = uniquePrompt();
  await client.chat.completions.create({ model: 'gpt-4o-mini', messages: user(prompt) });
  const [request] = await upstreamRequests(prompt);
  assert.deepEqual(request.header.Authorization, [`Bearer ${apiKey}`]);
  assert.ok(!JSON.stringify(request).includes(forwardKey), 'the forward key went upstream');
});

test('the body arrives as the client wrote it', async () => {
  const prompt = uniquePrompt('ünïcödé 🙂 </script>');
  const body = { messages: user(prompt), model: 'gpt-4o-mini', temperature: 0.1, seed: 12345678901, unknown_field: { a: [1.0, null] } };
  await client.chat.completions.create(body);
  const [request] = await upstreamRequests(prompt);
  assert.equal(request.body, JSON.stringify(body));
});

test('stream', async () => {
  const prompt = uniquePrompt();
  const stream = await client.chat.completions.create({ model: 'gpt-4o-mini', messages: user(prompt), stream: true });
  const chunks = await collect(stream);
  assert.equal(textOf(chunks), `You said: ${prompt}`);
  assert.ok(chunks.length > 4, 'word by word');
  assert.equal(chunks.at(-1).choices[0].finish_reason, 'stop');
  assert.ok(chunks.every((c) => !c.usage), 'no usage unless asked for');
});

test('stream with include_usage', async () => {
  const prompt = uniquePrompt();
  const chunks = await collect(
    await client.chat.completions.create({
      model: 'gpt-4o-mini', messages: user(prompt), stream: true, stream_options: { include_usage: true },
    }),
  );
  const last = chunks.at(-1);
  assert.deepEqual(last.choices, []);
  assert.ok(last.usage.total_tokens > 0);
  assert.equal(textOf(chunks), `You said: ${prompt}`);
});

test('events arrive when the upstream sends them', async () => {
  const start = Date.now();
  const stream = await client.chat.completions.create({ model: 'slow-stream-20-ms', messages: user(uniquePrompt()), stream: true });
  let first = 0;
  let count = 0;
  for await (const _ of stream) {
    first ||= Date.now() - start;
    count++;
  }
  const whole = Date.now() - start;
  assert.equal(count, 100);
  assert.ok(first < whole / 2, `the first of 100 events came after ${first} of ${whole} ms`);
});

test('parallel tool calls', async () => {
  const prompt = uniquePrompt();
  const completion = await client.chat.completions.create({ model: 'gpt-4o-mini', messages: user(prompt), tools: weatherAndTime });
  const { message, finish_reason } = completion.choices[0];
  assert.equal(finish_reason, 'tool_calls');
  assert.equal(message.content, null);
  assert.deepEqual(message.tool_calls.map((c) => c.function.name), ['weather', 'time']);
  assert.deepEqual(JSON.parse(message.tool_calls[1].function.arguments), { number: 1, query: prompt });
});

test('parallel tool calls streamed', async () => {
  const prompt = uniquePrompt();
  const runner = client.chat.completions.stream({ model: 'gpt-4o-mini', messages: user(prompt), tools: weatherAndTime });
  const { message, finish_reason } = (await runner.finalChatCompletion()).choices[0];
  assert.equal(finish_reason, 'tool_calls');
  assert.deepEqual(message.tool_calls.map((c) => c.function.name), ['weather', 'time']);
  assert.deepEqual(message.tool_calls.map((c) => JSON.parse(c.function.arguments)), [
    { number: 0, query: prompt },
    { number: 1, query: prompt },
  ]);
});

test('refusal, reasoning and a reached length limit pass', async () => {
  const say = (model) => client.chat.completions.create({ model, messages: user(uniquePrompt()) });
  assert.equal((await say('refusal')).choices[0].message.refusal, 'I cannot help with that.');
  assert.match((await say('reasoning')).choices[0].message.reasoning_content, /greets/);
  assert.equal((await say('finish-length')).choices[0].finish_reason, 'length');
});

test('several choices', async () => {
  const completion = await client.chat.completions.create({ model: 'gpt-4o-mini', messages: user(uniquePrompt()), n: 3 });
  assert.deepEqual(completion.choices.map((c) => c.index), [0, 1, 2]);
});

test('fifty streams at a time', async () => {
  const prompts = Array.from({ length: 50 }, () => uniquePrompt());
  const texts = await Promise.all(
    prompts.map(async (prompt) =>
      textOf(await collect(await client.chat.completions.create({ model: 'gpt-4o-mini', messages: user(prompt), stream: true }))),
    ),
  );
  assert.deepEqual(texts, prompts.map((p) => `You said: ${p}`));
});

test('a stream in bytes, in CRLF lines or in one wide event', async () => {
  for (const model of ['byte-by-byte', 'crlf', 'wide-event-300-kb']) {
    const chunks = await collect(await client.chat.completions.create({ model, messages: user(uniquePrompt()), stream: true }));
    assert.equal(chunks.at(-1).choices[0].finish_reason, 'stop', model);
  }
});

test('a stream that the upstream compresses although it was asked not to', async () => {
  const prompt = uniquePrompt();
  const chunks = await collect(await client.chat.completions.create({ model: 'gzip', messages: user(prompt), stream: true }));
  assert.equal(textOf(chunks), `You said: ${prompt}`);
  assert.ok(chunks.some((c) => c.choices[0]?.finish_reason === 'stop'));
});

test('a compressed stream has no usage unless asked for', async () => {
  const chunks = await collect(await client.chat.completions.create({ model: 'gzip', messages: user(uniquePrompt()), stream: true }));
  assert.equal(chunks.at(-1).choices[0]?.finish_reason, 'stop');
});

test('legacy completion, whole and streamed', async () => {
  const prompt = uniquePrompt();
  const completion = await client.completions.create({ model: 'gpt-3.5-turbo-instruct', prompt });
  assert.equal(completion.choices[0].text, `You said: ${prompt}`);
  const chunks = await collect(await client.completions.create({ model: 'gpt-3.5-turbo-instruct', prompt, stream: true }));
  assert.equal(chunks.map((c) => c.choices[0].text).join(''), `You said: ${prompt}`);
});

test('responses', async () => {
  const prompt = uniquePrompt();
  const response = await client.responses.create({ model: 'gpt-4o-mini', input: prompt });
  assert.equal(response.output_text, `You said: ${prompt}`);
  assert.equal(response.status, 'completed');
  assert.ok(response.usage.total_tokens > 0);
});

test('responses streamed', async () => {
  const prompt = uniquePrompt();
  const events = await collect(await client.responses.create({ model: 'gpt-4o-mini', input: prompt, stream: true }));
  const text = events.filter((e) => e.type === 'response.output_text.delta').map((e) => e.delta).join('');
  assert.equal(text, `You said: ${prompt}`);
  assert.equal(events[0].type, 'response.created');
  assert.equal(events.at(-1).type, 'response.completed');
  assert.ok(events.at(-1).response.usage.total_tokens > 0);
});

test('responses with a tool, through the stream helper', async () => {
  const prompt = uniquePrompt();
  const tools = [{ type: 'function', name: 'weather', parameters: { type: 'object', properties: {} }, strict: false }];
  const response = await client.responses.stream({ model: 'gpt-4o-mini', input: prompt, tools }).finalResponse();
  assert.equal(response.output[0].type, 'function_call');
  assert.deepEqual(JSON.parse(response.output[0].arguments), { number: 0, query: prompt });
});
