// Anthropic's SDK on /anthropic.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import Anthropic, { toFile } from '@anthropic-ai/sdk';
import { betaTool } from '@anthropic-ai/sdk/helpers/beta/json-schema';
import {
  anthropicBase, anthropicKey, assertCancelled, assertWaitedAsTold, collect, eventually, failure, forwardKey, forwardURL, limitedKey,
  narrowKey, resetUpstream, script, uniquePrompt, upstreamRequest, upstreamRequests, user, waits, watchedFetch,
} from './support.mjs';

const model = 'claude-sonnet-5';
const newAnthropic = (options = {}) => new Anthropic({ baseURL: `${forwardURL}/anthropic`, apiKey: forwardKey, maxRetries: 0, ...options });
const client = newAnthropic();

const ask = (prompt, more = {}) => ({ model, max_tokens: 1000, messages: user(prompt), ...more });
const create = (prompt, how, options = {}) => client.messages.create(ask(prompt), { headers: script(how), ...options });
const stream = (prompt, how, options = {}) => client.messages.create(ask(prompt, { stream: true }), { headers: script(how), ...options });

const properties = { query: { type: 'string' } };
const tools = ['weather', 'time'].map((name) => ({ name, description: `Tells the ${name}.`, input_schema: { type: 'object', properties } }));
const textOf = (events) => events.map((e) => (e.type === 'content_block_delta' ? (e.delta.text ?? '') : '')).join('');

test('message', async () => {
  const prompt = uniquePrompt();
  const message = await client.messages.create(ask(prompt));
  assert.match(message.id, /^msg_/);
  assert.equal(message.model, model);
  assert.deepEqual(message.content, [{ type: 'text', text: `You said: ${prompt}` }]);
  assert.equal(message.stop_reason, 'end_turn');
  assert.deepEqual([message.usage.input_tokens, message.usage.output_tokens], [2, 4]);
  assert.match(message._request_id, /^req_upstream_/, "the upstream's request id reaches the client");
});

test('either of the credentials is swapped for the API key', async () => {
  for (const credential of [{ apiKey: forwardKey }, { apiKey: null, authToken: forwardKey }]) {
    const prompt = uniquePrompt();
    await newAnthropic(credential).messages.create(ask(prompt));
    const request = await upstreamRequest(prompt);
    assert.equal(request.uri, `${anthropicBase}/v1/messages`);
    assert.deepEqual(request.header['X-Api-Key'], [anthropicKey]);
    assert.equal(request.header.Authorization, undefined);
    assert.ok(!JSON.stringify(request).includes(forwardKey), 'the forward key went upstream');
  }
});

test('body and headers arrive as the client wrote them', async () => {
  const body = ask(uniquePrompt('ünïcödé 🙂'), {
    system: [{ type: 'text', text: 'Be brief.', cache_control: { type: 'ephemeral' } }], temperature: 0.1, metadata: { user_id: 'a' }, future_field: [1.0, null],
  });
  await client.messages.create(body, { headers: { 'anthropic-beta': 'context-1m-2025-08-07' } });
  const request = await upstreamRequest(body.messages[0].content);
  assert.equal(request.body, JSON.stringify(body));
  assert.match(request.header['Anthropic-Version'][0], /^\d{4}-\d\d-\d\d$/);
  assert.deepEqual(request.header['Anthropic-Beta'], ['context-1m-2025-08-07']);
});

test('stream', async () => {
  const prompt = uniquePrompt();
  const { data, response, request_id } = await client.messages.create(ask(prompt, { stream: true })).withResponse();
  assert.match(request_id, /^req_upstream_/);
  assert.match(response.headers.get('content-type'), /^text\/event-stream/);
  const events = await collect(data);
  assert.equal(textOf(events), `You said: ${prompt}`);
  assert.deepEqual(
    [...new Set(events.map((e) => e.type))],
    ['message_start', 'content_block_start', 'content_block_delta', 'content_block_stop', 'message_delta', 'message_stop'],
  );
  const { delta, usage } = events.find((e) => e.type === 'message_delta');
  assert.equal(delta.stop_reason, 'end_turn');
  assert.equal(usage.output_tokens, 4);
});

test('stream helper', async () => {
  const prompt = uniquePrompt();
  const said = [];
  const runner = client.messages.stream(ask(prompt)).on('text', (delta) => said.push(delta));
  const message = await runner.finalMessage();
  assert.equal(said.join(''), `You said: ${prompt}`);
  assert.equal(await runner.finalText(), `You said: ${prompt}`);
  assert.equal(message.stop_reason, 'end_turn');
  assert.deepEqual([message.usage.input_tokens, message.usage.output_tokens], [2, 4]);
  assert.match(runner.request_id, /^req_upstream_/);
});

test('thoughts keep their signature, whole and streamed', async () => {
  const thought = { type: 'thinking', thinking: 'The user greets me, so I greet back.', signature: 'c2lnbmVk' };
  const body = ask(uniquePrompt(), { model: 'reasoning' });
  assert.deepEqual((await client.messages.create(body)).content[0], thought);
  assert.deepEqual((await client.messages.stream(body).finalMessage()).content[0], thought);
});

test('one tool and parallel tools, whole and streamed, and the turn after', async () => {
  for (const offered of [tools.slice(0, 1), tools]) {
    for (const call of [(body) => client.messages.create(body), (body) => client.messages.stream(body).finalMessage()]) {
      const prompt = uniquePrompt();
      const first = ask(prompt, { tools: offered });
      const message = await call(first);
      assert.equal(message.stop_reason, 'tool_use');
      assert.deepEqual(message.content.map((b) => [b.type, b.name, b.input]), offered.map((t, number) => ['tool_use', t.name, { number, query: prompt }]));

      const results = message.content.map((b) => ({ type: 'tool_result', tool_use_id: b.id, content: `${b.name} is fine` }));
      const second = { ...first, messages: [...first.messages, { role: 'assistant', content: message.content }, { role: 'user', content: results }] };
      const last = await call(second);
      assert.equal(last.content[0].text, `The tools say: ${offered.map((t) => `${t.name} is fine`).join(', ')}`);
      assert.equal(last.stop_reason, 'end_turn');
    }
  }
});

test('tool runner', async () => {
  const asked = [];
  const runnable = tools.map(({ name, description, input_schema }) =>
    betaTool({ name, description, inputSchema: input_schema, run: (input) => (asked.push([name, input.number]), `${name} is fine`) }));
  for (const streamed of [false, true]) {
    asked.length = 0;
    const message = await client.beta.messages.toolRunner(ask(uniquePrompt(), { tools: runnable, stream: streamed })).runUntilDone();
    assert.equal(message.content[0].text, 'The tools say: weather is fine, time is fine');
    assert.deepEqual(asked, [['weather', 0], ['time', 1]]);
  }
});

test('token counting', async () => {
  const prompt = uniquePrompt('one two three');
  assert.deepEqual(await client.messages.countTokens({ model, messages: user(prompt) }), { input_tokens: 4 });
  assert.equal((await upstreamRequest(prompt)).uri, `${anthropicBase}/v1/messages/count_tokens`);
});

test('batches', async () => {
  const requests = ['a', 'b', 'c'].map((custom_id) => ({ custom_id, params: ask(uniquePrompt()) }));
  const batch = await client.messages.batches.create({ requests });
  assert.equal(batch.request_counts.processing, 3);
  assert.equal((await client.messages.batches.retrieve(batch.id)).id, batch.id);
  assert.deepEqual((await collect(client.messages.batches.list({ limit: 20 }))).map((b) => b.id), ['msgbatch_a', 'msgbatch_b']);
});

test('files', async () => {
  const file = await client.beta.files.upload({ file: await toFile(Buffer.from('hello'), 'hello.txt', { type: 'text/plain' }) });
  assert.deepEqual([file.filename, file.size_bytes], ['hello.txt', 5]);
  assert.ok((await collect(client.beta.files.list())).some((f) => f.id === file.id));
  assert.equal((await client.beta.files.delete(file.id)).id, file.id);
});

test('models', async () => {
  assert.deepEqual((await collect(client.models.list())).map((m) => m.id), ['claude-sonnet-5', 'claude-haiku-4-5']);
  assert.equal((await client.models.retrieve(model)).type, 'model');
});

test("an upstream's error keeps its class, its type and its request id", async () => {
  const classes = {
    400: [Anthropic.BadRequestError, 'invalid_request_error'], 403: [Anthropic.PermissionDeniedError, 'permission_error'], 404: [Anthropic.NotFoundError, 'not_found_error'],
    409: [Anthropic.ConflictError, 'invalid_request_error'], 413: [Anthropic.APIError, 'request_too_large'],
    422: [Anthropic.UnprocessableEntityError, 'invalid_request_error'], 429: [Anthropic.RateLimitError, 'rate_limit_error'],
    500: [Anthropic.InternalServerError, 'api_error'], 503: [Anthropic.InternalServerError, 'api_error'],
    529: [Anthropic.InternalServerError, 'overloaded_error'],
  };
  for (const call of [create, stream]) {
    for (const [status, [expected, type]] of Object.entries(classes)) {
      const prompt = uniquePrompt();
      const error = await failure(call(prompt, `err-${status}`));
      assert.ok(error instanceof expected, `${status}: ${error}`);
      assert.deepEqual([error.status, error.type], [Number(status), type]);
      assert.match(error.requestID, /^req_upstream_/);
      assert.equal(error.error.request_id, error.requestID, 'header and body name the same request');
      assert.equal((await upstreamRequests(prompt)).length, 1, `${status} is not retried by the gateway`);
    }
  }
});

test("the gateway's own refusals are errors of the SDK's and reach no upstream", async () => {
  const wrong = 'fk-this-key-was-never-handed-out';
  const refusals = {
    'a wrong key': [{ apiKey: wrong }, {}, Anthropic.AuthenticationError, 401, 'authentication_error'],
    'a wrong token': [{ apiKey: null, authToken: wrong }, {}, Anthropic.AuthenticationError, 401, 'authentication_error'],
    'a model that is not allowed': [{ apiKey: narrowKey }, {}, Anthropic.PermissionDeniedError, 403, 'permission_error'],
    'a body that is too large': [{}, { system: 'x'.repeat(1 << 20) }, Anthropic.APIError, 413, 'request_too_large'],
  };
  for (const [what, [options, more, expected, status, type]] of Object.entries(refusals)) {
    const prompt = uniquePrompt();
    const { attempts, fetch } = watchedFetch();
    const error = await failure(newAnthropic({ ...options, maxRetries: 2, fetch }).messages.create(ask(prompt, more)));
    assert.ok(error instanceof expected, `${what}: ${error}`);
    assert.deepEqual([error.status, error.type], [status, type], what);
    assert.ok(error.requestID, `${what}: errors carry a request id`);
    assert.equal(error.error.request_id, error.requestID, what);
    assert.ok(!error.message.includes(wrong), 'the key is masked');
    assert.equal(attempts.length, 1, `${what} is not tried again`);
    assert.equal((await upstreamRequests(prompt)).length, 0, what);
  }
});

test('an API key that the upstream refuses is a 502 that the SDK does not retry', async () => {
  for (const how of ['err-401', 'echo-auth']) {
    const prompt = uniquePrompt();
    const { attempts, fetch } = watchedFetch();
    const error = await failure(newAnthropic({ maxRetries: 2, fetch }).messages.create(ask(prompt), { headers: script(how) }));
    assert.ok(error instanceof Anthropic.InternalServerError, `${how}: ${error}`);
    assert.deepEqual([error.status, error.type, attempts.length], [502, 'api_error', 1]);
    assert.ok(!JSON.stringify([error.message, error.error, [...error.headers]]).includes(anthropicKey), 'the API key came back');
  }
});

test('the SDK tries again as often as it should, and waits as it was told', async () => {
  for (const [how, told] of [['err-429', true], ['err-503', true], ['err-500', false], ['err-529', false]]) {
    const prompt = uniquePrompt();
    const { attempts, fetch } = watchedFetch();
    const error = await failure(newAnthropic({ maxRetries: 1, fetch }).messages.create(ask(prompt), { headers: script(how) }));
    assert.equal(error.status, Number(how.slice(4)));
    assert.equal((await upstreamRequests(prompt)).length, 2, how);
    assert.equal(attempts[0].headers.has('retry-after'), told, how);
    if (told) assertWaitedAsTold(attempts);
    else assert.ok(waits(attempts)[0] >= 370, `${how}: its own backoff is half a second, less a quarter`);
  }
});

test('a call that is tried again succeeds, whole and streamed', async () => {
  const patient = newAnthropic({ maxRetries: 1 });
  for (const how of ['err-429-then-ok', 'err-529-then-ok']) {
    await resetUpstream();
    const prompt = uniquePrompt();
    const message = await patient.messages.create(ask(prompt), { headers: script(how) });
    assert.equal(message.content[0].text, `You said: ${prompt}`);
    assert.equal((await upstreamRequests(prompt)).length, 2);
    await resetUpstream();
    assert.equal(await patient.messages.stream(ask(prompt), { headers: script(how) }).finalText(), `You said: ${prompt}`);
    assert.equal((await upstreamRequests(prompt)).length, 2);
  }
});

test('a limit of the gateway raises RateLimitError until the client has waited as told', async () => {
  const { attempts, fetch } = watchedFetch();
  const limited = newAnthropic({ apiKey: limitedKey, maxRetries: 0, fetch });
  const calls = await Promise.all(Array.from({ length: 3 }, () => limited.messages.create(ask(uniquePrompt())).then(() => null, (e) => e)));
  const refused = calls.filter(Boolean);
  assert.ok(refused.length >= 1, 'three calls at once, and one in two seconds is allowed');
  for (const error of refused) {
    assert.ok(error instanceof Anthropic.RateLimitError, `${error}`);
    assert.equal(error.type, 'rate_limit_error');
    assert.ok(error.requestID);
  }
  assert.ok(attempts.filter((a) => a.status === 429).every((a) => Number(a.headers.get('retry-after-ms')) > 0));
  for (let i = 0; i < 2; i++) {
    const patient = watchedFetch();
    await newAnthropic({ apiKey: limitedKey, maxRetries: 2, fetch: patient.fetch }).messages.create(ask(uniquePrompt()));
    assertWaitedAsTold(patient.attempts);
  }
});

test('a stream that breaks raises APIError and never ends cleanly', async () => {
  for (const how of ['error-in-stream', 'cut-mid-stream', 'malformed-chunks']) {
    const error = await failure(stream(uniquePrompt(), how).then(collect));
    assert.ok(error instanceof Anthropic.APIError, `${how}: ${error}`);
    // Agents try again on the type that the gateway gives a cut stream.
    assert.equal(error.type, how === 'error-in-stream' ? 'api_error' : 'overloaded_error', how);
    assert.ok(error.requestID, how);
    const helper = await failure(client.messages.stream(ask(uniquePrompt()), { headers: script(how) }).finalMessage());
    assert.ok(helper instanceof Anthropic.APIError, `${how}: ${helper}`);
  }
});

test('a stream that ends without message_stop is no message', async () => {
  const error = await failure(client.messages.stream(ask(uniquePrompt()), { headers: script('no-end') }).finalMessage());
  assert.ok(error instanceof Anthropic.AnthropicError, `${error}`);
});

test('a connection that dies before the answer is a 502, after one upstream call', async () => {
  for (const how of ['reset-before-headers', 'close-before-headers', 'malformed']) {
    const prompt = uniquePrompt();
    const error = await failure(create(prompt, how));
    assert.ok(error instanceof Anthropic.InternalServerError, `${how}: ${error}`);
    assert.deepEqual([error.status, error.type], [502, 'api_error'], how);
    assert.equal((await upstreamRequests(prompt)).length, 1, how);
  }
  assert.ok((await failure(create(uniquePrompt(), 'cut-mid-body'))) instanceof Error);
});

test('an aborted stream cancels the upstream', async () => {
  for (const how of ['controller', 'signal', 'break', 'helper']) {
    const prompt = uniquePrompt();
    const controller = new AbortController();
    const options = { headers: script('slow-stream-100-ms'), signal: controller.signal };
    const events = how === 'helper' ? client.messages.stream(ask(prompt), options) : await stream(prompt, 'slow-stream-100-ms', options);
    let seen = 0;
    const reading = (async () => {
      for await (const _ of events) {
        if (++seen < 3) continue;
        if (how === 'break') break;
        if (how === 'signal') controller.abort();
        else events.controller.abort();
      }
    })();
    const error = await reading.then(() => null, (e) => e);
    if (error) assert.ok(error instanceof Anthropic.APIUserAbortError, `${how}: ${error}`);
    await assertCancelled(prompt, how);
  }
});

test('a call aborted or timed out before its answer cancels the upstream', async () => {
  const controller = new AbortController();
  const prompt = uniquePrompt();
  const rejected = failure(create(prompt, 'stall-before-headers', { signal: controller.signal }));
  await eventually(async () => (await upstreamRequests(prompt))[0], 5000, 'the upstream was called');
  controller.abort();
  assert.ok((await rejected) instanceof Anthropic.APIUserAbortError);
  await assertCancelled(prompt, 'abort');

  const late = uniquePrompt();
  const error = await failure(create(late, 'stall-before-headers', { timeout: 1000 }));
  assert.ok(error instanceof Anthropic.APIConnectionTimeoutError, `${error}`);
  await assertCancelled(late, 'timeout');
});
