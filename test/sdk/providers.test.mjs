// One client of OpenAI's with one base URL: the model's name leads to its provider.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import OpenAI from 'openai';
import {
  anthropicBase, anthropicKey, apiKey, assertCancelled, assertWaitedAsTold, collect, failure, forwardKey, forwardURL, geminiBase, geminiKey,
  narrowKey, newClient, resetUpstream, script, uniquePrompt, upstreamRequest, upstreamRequests, user, watchedFetch, weatherAndTime,
} from './support.mjs';

// Each provider takes OpenAI's chats at a path of its own, with its API key as a Bearer token.
const providers = {
  'gpt-4o-mini': { uri: '/v1/chat/completions', key: apiKey },
  'claude-sonnet-5': { uri: `${anthropicBase}/v1/chat/completions`, key: anthropicKey },
  'gemini-2.5-flash': { uri: `${geminiBase}/v1beta/openai/chat/completions`, key: geminiKey },
};
const client = newClient();
const textOf = (chunks) => chunks.map((c) => c.choices[0]?.delta.content ?? '').join('');
const chat = (model, prompt, { how, on = client, ...more } = {}) =>
  on.chat.completions.create({ model, messages: user(prompt), ...more }, how ? { headers: script(how) } : {});

for (const [model, { uri, key }] of Object.entries(providers)) {
  test(`${model}: chat with its provider's key`, async () => {
    const prompt = uniquePrompt();
    const completion = await chat(model, prompt);
    assert.equal(completion.choices[0].message.content, `You said: ${prompt}`);
    assert.equal(completion.choices[0].finish_reason, 'stop');
    assert.equal(completion.model, model);
    assert.equal(completion.usage.total_tokens, 6);
    assert.ok(completion._request_id);
    const request = await upstreamRequest(prompt);
    assert.equal(request.uri, uri);
    assert.deepEqual(request.header.Authorization, [`Bearer ${key}`]);
    for (const slot of ['X-Api-Key', 'X-Goog-Api-Key']) assert.equal(request.header[slot], undefined);
    assert.ok(!JSON.stringify(request).includes(forwardKey), 'the forward key went upstream');
  });

  test(`${model}: stream, without usage and with it`, async () => {
    for (const include_usage of [false, true]) {
      const prompt = uniquePrompt();
      const chunks = await collect(await chat(model, prompt, { stream: true, ...(include_usage && { stream_options: { include_usage } }) }));
      assert.equal(textOf(chunks), `You said: ${prompt}`);
      assert.ok(chunks.some((c) => c.choices[0]?.finish_reason === 'stop'));
      assert.equal(chunks.at(-1).usage?.total_tokens, include_usage ? 6 : undefined);
      assert.equal((await upstreamRequest(prompt)).uri, uri);
    }
  });

  test(`${model}: one tool and parallel tools, whole and streamed, and the turn after`, async () => {
    for (const tools of [weatherAndTime.slice(0, 1), weatherAndTime]) {
      for (const call of [(body) => client.chat.completions.create(body), (body) => client.chat.completions.stream(body).finalChatCompletion()]) {
        const prompt = uniquePrompt();
        const first = { model, messages: user(prompt), tools };
        const [{ message, finish_reason }] = (await call(first)).choices;
        assert.equal(finish_reason, 'tool_calls');
        assert.deepEqual(
          message.tool_calls.map((c) => [c.function.name, JSON.parse(c.function.arguments)]),
          tools.map((t, number) => [t.function.name, { number, query: prompt }]),
        );
        const results = message.tool_calls.map((c) => ({ role: 'tool', tool_call_id: c.id, content: `${c.function.name} is fine` }));
        const { role, content, tool_calls } = message;
        const last = await call({ ...first, messages: [...first.messages, { role, content, tool_calls }, ...results] });
        assert.equal(last.choices[0].message.content, `The tools say: ${tools.map((t) => `${t.function.name} is fine`).join(', ')}`);
        assert.ok((await upstreamRequests(prompt)).every((r) => r.uri === uri));
      }
    }
  });

  test(`${model}: errors keep their class, whole and streamed`, async () => {
    const classes = {
      400: OpenAI.BadRequestError, 403: OpenAI.PermissionDeniedError, 404: OpenAI.NotFoundError, 413: OpenAI.APIError,
      429: OpenAI.RateLimitError, 500: OpenAI.InternalServerError, 503: OpenAI.InternalServerError,
    };
    for (const stream of [false, true]) {
      for (const [status, expected] of Object.entries(classes)) {
        const prompt = uniquePrompt();
        const error = await failure(chat(model, prompt, { how: `err-${status}`, stream }));
        assert.ok(error instanceof expected, `${status}: ${error}`);
        assert.equal(error.status, Number(status));
        assert.ok(error.requestID, `${status}: errors carry a request id`);
        assert.equal((await upstreamRequest(prompt)).uri, uri);
      }
    }
    const error = await failure(chat(model, uniquePrompt(), { how: 'err-401' }));
    assert.deepEqual([error.status, error.code], [502, 'upstream_auth_failed']);
  });

  test(`${model}: the SDK tries again as often as it should, and waits as it was told`, async () => {
    const { attempts, fetch } = watchedFetch();
    const prompt = uniquePrompt();
    const error = await failure(chat(model, prompt, { how: 'err-429', on: newClient({ maxRetries: 1, fetch }) }));
    assert.ok(error instanceof OpenAI.RateLimitError);
    assertWaitedAsTold(attempts);
    assert.equal((await upstreamRequests(prompt)).length, 2);
    await resetUpstream();
    const patient = await chat(model, prompt, { how: 'err-500-then-ok', on: newClient({ maxRetries: 1 }) });
    assert.equal(patient.choices[0].message.content, `You said: ${prompt}`);
    assert.equal((await upstreamRequests(prompt)).length, 2);
  });

  test(`${model}: a stream that breaks raises APIError and never ends cleanly`, async () => {
    for (const how of ['error-in-stream', 'cut-mid-stream', 'malformed-chunks']) {
      const stream = await chat(model, uniquePrompt(), { how, stream: true });
      const error = await failure(collect(stream));
      assert.ok(error instanceof OpenAI.APIError, `${how}: ${error}`);
    }
  });

  test(`${model}: an aborted stream cancels the upstream`, async () => {
    const prompt = uniquePrompt();
    const stream = await chat(model, prompt, { how: 'slow-stream-100-ms', stream: true });
    let seen = 0;
    for await (const _ of stream) if (++seen === 3) stream.controller.abort();
    await assertCancelled(prompt, 'abort');
  });

  test(`${model}: a call that times out cancels the upstream`, async () => {
    const prompt = uniquePrompt();
    const error = await failure(chat(model, prompt, { how: 'stall-before-headers', on: newClient({ timeout: 1000 }) }));
    assert.ok(error instanceof OpenAI.APIConnectionTimeoutError, `${error}`);
    await assertCancelled(prompt, 'timeout');
  });
}

test('embeddings go by their model too', async () => {
  const input = uniquePrompt();
  const { data } = await client.embeddings.create({ model: 'gemini-embedding-001', input });
  assert.deepEqual(Array.from(data[0].embedding), [1, 0.5, 0.25]);
  assert.equal((await upstreamRequest(input)).uri, `${geminiBase}/v1beta/openai/embeddings`);
});

test('/openai names its provider: no model leads elsewhere', async () => {
  for (const model of Object.keys(providers)) {
    const prompt = uniquePrompt();
    await chat(model, prompt, { on: newClient({ baseURL: `${forwardURL}/openai/v1` }) });
    const { uri, header } = await upstreamRequest(prompt);
    assert.deepEqual([uri, header.Authorization], ['/v1/chat/completions', [`Bearer ${apiKey}`]]);
  }
});

test("OpenAI's client on the other providers' routes", async () => {
  for (const [model, base] of [['claude-sonnet-5', '/anthropic/v1'], ['gemini-2.5-flash', '/gemini/v1beta/openai']]) {
    const prompt = uniquePrompt();
    const on = newClient({ baseURL: forwardURL + base });
    assert.equal(textOf(await collect(await chat(model, prompt, { on, stream: true }))), `You said: ${prompt}`);
    const { uri, header } = await upstreamRequest(prompt);
    assert.deepEqual([uri, header.Authorization], [providers[model].uri, [`Bearer ${providers[model].key}`]]);
    const error = await failure(chat(model, prompt, { on: newClient({ baseURL: forwardURL + base, apiKey: 'fk-unknown' }) }));
    assert.ok(error instanceof OpenAI.AuthenticationError, `${error}`);
    assert.equal(error.code, 'invalid_api_key');
  }
});

test("the gateway's own refusals reach no upstream and are not tried again", async () => {
  const wrong = 'fk-this-key-was-never-handed-out';
  for (const model of Object.keys(providers)) {
    const refusals = [
      [{ apiKey: wrong }, {}, OpenAI.AuthenticationError, 'invalid_api_key'],
      [{}, { user: 'x'.repeat(1 << 20) }, OpenAI.APIError, 'request_too_large'],
      ...(model === 'gpt-4o-mini' ? [] : [[{ apiKey: narrowKey }, {}, OpenAI.PermissionDeniedError, 'model_not_allowed']]),
    ];
    for (const [options, more, expected, code] of refusals) {
      const prompt = uniquePrompt();
      const { attempts, fetch } = watchedFetch();
      const error = await failure(chat(model, prompt, { on: newClient({ ...options, maxRetries: 2, fetch }), ...more }));
      assert.ok(error instanceof expected, `${code}: ${error}`);
      assert.equal(error.code, code);
      assert.ok(error.requestID);
      assert.ok(!error.message.includes(wrong), 'the key is masked');
      assert.equal(attempts.length, 1);
      assert.equal((await upstreamRequests(prompt)).length, 0);
    }
  }
});

test('responses: parallel tools, whole and streamed, and the turn after', async () => {
  const tools = weatherAndTime.map(({ function: f }) => ({ type: 'function', strict: false, ...f }));
  for (const call of [(body) => client.responses.create(body), (body) => client.responses.stream(body).finalResponse()]) {
    const prompt = uniquePrompt();
    const first = await call({ model: 'gpt-4o-mini', input: user(prompt), tools });
    assert.deepEqual(first.output.map((o) => [o.type, o.name]), [['function_call', 'weather'], ['function_call', 'time']]);
    const results = first.output.map((o) => ({ type: 'function_call_output', call_id: o.call_id, output: `${o.name} is fine` }));
    const calls = first.output.map(({ type, call_id, name, arguments: a }) => ({ type, call_id, name, arguments: a }));
    const last = await call({ model: 'gpt-4o-mini', input: [...user(prompt), ...calls, ...results], tools });
    assert.equal(last.output_text, 'The tools say: weather is fine, time is fine');
  }
});

test('an aborted Responses stream cancels the upstream', async () => {
  const prompt = uniquePrompt();
  const stream = await client.responses.create({ model: 'gpt-4o-mini', input: prompt, stream: true }, { headers: script('slow-stream-100-ms') });
  let seen = 0;
  for await (const _ of stream) if (++seen === 5) stream.controller.abort();
  await assertCancelled(prompt, 'abort');
});
