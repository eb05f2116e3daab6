// The second of two equal requests is answered from the cache: one upstream call, equal answers, in either form.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { newClient, uniquePrompt, upstreamRequests, user, weatherAndTime } from './support.mjs';

const client = newClient();

async function whole(body) {
  const { data, response } = await client.chat.completions.create({ ...body, caching: true }).withResponse();
  return { data, cache: response.headers.get('x-cache') };
}

async function streamed(body) {
  const { data, response } = await client.chat.completions.create({ ...body, caching: true, stream: true }).withResponse();
  const chunks = [];
  for await (const chunk of data) chunks.push(chunk);
  return { chunks, cache: response.headers.get('x-cache') };
}

const textOf = (chunks) => chunks.map((c) => c.choices[0]?.delta.content ?? '').join('');

test('chat twice is one upstream call and equal answers', async () => {
  const prompt = uniquePrompt();
  const body = { model: 'gpt-4o-mini', messages: user(prompt) };
  const first = await whole(body);
  const second = await whole(body);
  assert.deepEqual([first.cache, second.cache], ['MISS', 'HIT']);
  assert.deepEqual(second.data, first.data);
  const requests = await upstreamRequests(prompt);
  assert.equal(requests.length, 1);
  assert.ok(!requests[0].body.includes('caching'), 'the field of ours went upstream');
});

test('a stream twice is one upstream call and the same chunks', async () => {
  const prompt = uniquePrompt();
  const body = { model: 'gpt-4o-mini', messages: user(prompt) };
  const first = await streamed(body);
  const second = await streamed(body);
  assert.deepEqual([first.cache, second.cache], ['MISS', 'HIT']);
  assert.deepEqual(second.chunks, first.chunks);
  assert.equal((await upstreamRequests(prompt)).length, 1);
});

test('a stored stream answers a request without stream, and the other way round', async () => {
  const from = uniquePrompt();
  await streamed({ model: 'gpt-4o-mini', messages: user(from) });
  const folded = await whole({ model: 'gpt-4o-mini', messages: user(from) });
  assert.equal(folded.cache, 'HIT');
  assert.equal(folded.data.object, 'chat.completion');
  assert.equal(folded.data.choices[0].message.content, `You said: ${from}`);
  assert.equal(folded.data.choices[0].finish_reason, 'stop');

  const to = uniquePrompt();
  await whole({ model: 'gpt-4o-mini', messages: user(to) });
  const cut = await streamed({ model: 'gpt-4o-mini', messages: user(to), stream_options: { include_usage: true } });
  assert.equal(cut.cache, 'HIT');
  assert.equal(textOf(cut.chunks), `You said: ${to}`);
  assert.ok(cut.chunks.at(-1).usage.total_tokens > 0, 'usage is as it was');
  assert.equal((await upstreamRequests(to)).length, 1);
});

test('parallel tool calls survive the cache in both forms', async () => {
  const prompt = uniquePrompt();
  const body = { model: 'gpt-4o-mini', messages: user(prompt), tools: weatherAndTime };
  const stored = await whole(body);
  const runner = client.chat.completions.stream({ ...body, caching: true });
  const message = (await runner.finalChatCompletion()).choices[0].message;
  assert.deepEqual(
    message.tool_calls.map(({ id, function: f }) => ({ id, name: f.name, arguments: f.arguments })),
    stored.data.choices[0].message.tool_calls.map(({ id, function: f }) => ({ id, name: f.name, arguments: f.arguments })),
  );
  assert.equal((await upstreamRequests(prompt)).length, 1);
});

test('embeddings are cached', async () => {
  const input = uniquePrompt();
  const embed = () => client.embeddings.create({ model: 'text-embedding-3-small', input, caching: true });
  assert.deepEqual(await embed(), await embed());
  assert.equal((await upstreamRequests(input)).length, 1);
});

test('what differs in content, or did not ask, goes upstream', async () => {
  const prompt = uniquePrompt();
  const body = { model: 'gpt-4o-mini', messages: user(prompt) };
  await whole(body);
  for (const change of [{ temperature: 0.5 }, { seed: 1 }, { model: 'gpt-4o' }, { tools: weatherAndTime }, { max_tokens: 5 }]) {
    assert.equal((await whole({ ...body, ...change })).cache, 'MISS', JSON.stringify(change));
  }
  await client.chat.completions.create(body);
  assert.equal((await upstreamRequests(prompt)).length, 7);
});

test('failed and broken answers are never served again', async () => {
  for (const ask of [streamed, whole]) {
    for (const model of ['cut-mid-stream', 'cut-mid-body', 'error-in-stream', 'no-end', 'malformed-json', 'html', 'err-500', 'err-404']) {
      const prompt = uniquePrompt();
      for (let i = 0; i < 2; i++) await ask({ model, messages: user(prompt) }).catch(() => {});
      assert.equal((await upstreamRequests(prompt)).length, 2, `${model} (${ask.name})`);
    }
  }
});
