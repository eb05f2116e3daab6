// Google's SDK on /gemini. It tells no request id of errors, and of answers only in their headers.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ApiError, FunctionCallingConfigMode, GoogleGenAI } from '@google/genai';
import {
  assertCancelled, collect, eventually, failure, forwardKey, forwardURL, geminiBase, geminiKey, limitedKey, narrowKey, resetUpstream,
  script, uniquePrompt, upstreamRequest, upstreamRequests, watchedFetch,
} from './support.mjs';

const model = 'gemini-2.5-flash';
const newGoogle = ({ apiKey = forwardKey, ...httpOptions } = {}) =>
  new GoogleGenAI({ apiKey, vertexai: false, httpOptions: { baseUrl: `${forwardURL}/gemini`, ...httpOptions } });
const client = newGoogle();

const whole = (contents, how, config = {}) => client.models.generateContent({ model, contents, config: { httpOptions: { headers: script(how) }, ...config } });
const streamed = (contents, how, config = {}) =>
  client.models.generateContentStream({ model, contents, config: { httpOptions: { headers: script(how) }, ...config } });

const parametersJsonSchema = { type: 'object', properties: { query: { type: 'string' } } };
const declarations = ['weather', 'time'].map((name) => ({ name, description: `Tells the ${name}.`, parametersJsonSchema }));
const textOf = (chunks) => chunks.map((c) => c.text ?? '').join('');

// What the error body says, which is the message of an ApiError.
const said = (error) => JSON.parse(error.message.slice(error.message.indexOf('{'))).error;

test('content', async () => {
  const prompt = uniquePrompt();
  const response = await client.models.generateContent({ model, contents: prompt });
  assert.equal(response.text, `You said: ${prompt}`);
  assert.equal(response.candidates[0].finishReason, 'STOP');
  assert.equal(response.modelVersion, model);
  assert.ok(response.responseId);
  const { promptTokenCount, candidatesTokenCount, totalTokenCount } = response.usageMetadata;
  assert.deepEqual([promptTokenCount, candidatesTokenCount, totalTokenCount], [2, 4, 6]);
  assert.ok(response.sdkHttpResponse.headers['x-request-id'], 'the gateway names the request, for Google does not');
});

test('the forward key is swapped for the API key, wherever it stands', async () => {
  for (const options of [{}, { baseUrl: `${forwardURL}/gemini/` }, { headers: { Authorization: `Bearer ${forwardKey}` } }]) {
    const prompt = uniquePrompt();
    await newGoogle(options).models.generateContent({ model, contents: prompt });
    const request = await upstreamRequest(prompt);
    assert.equal(request.uri, `${geminiBase}/v1/models/${model}:generateContent`);
    assert.deepEqual(request.header['X-Goog-Api-Key'], [geminiKey]);
    assert.equal(request.header.Authorization, undefined);
    assert.ok(!JSON.stringify(request).includes(forwardKey), 'the forward key went upstream');
  }
});

test('stream', async () => {
  const prompt = uniquePrompt();
  const chunks = await collect(await client.models.generateContentStream({ model, contents: prompt }));
  assert.equal(textOf(chunks), `You said: ${prompt}`);
  assert.equal(chunks.length, 4, 'word by word');
  const last = chunks.at(-1);
  assert.equal(last.candidates[0].finishReason, 'STOP');
  assert.equal(last.usageMetadata.totalTokenCount, 6);
  assert.equal((await upstreamRequest(prompt)).uri, `${geminiBase}/v1/models/${model}:streamGenerateContent?alt=sse`);
});

test('thoughts are told from the text, whole and streamed', async () => {
  const ask = { model: 'reasoning', contents: uniquePrompt(), config: { thinkingConfig: { includeThoughts: true } } };
  const thoughts = (responses) => responses.flatMap((r) => r.candidates[0].content.parts).filter((p) => p.thought).map((p) => p.text).join('');
  for (const responses of [[await client.models.generateContent(ask)], await collect(await client.models.generateContentStream(ask))]) {
    assert.equal(thoughts(responses), 'The user greets me, so I greet back.');
    assert.equal(textOf(responses), `You said: ${ask.contents}`);
  }
});

test('chat: one tool and parallel tools, whole and streamed, and the turn after', async () => {
  for (const offered of [declarations.slice(0, 1), declarations]) {
    for (const send of [
      async (chat, message) => [await chat.sendMessage({ message })],
      async (chat, message) => collect(await chat.sendMessageStream({ message })),
    ]) {
      const prompt = uniquePrompt();
      const chat = client.chats.create({ model, config: { tools: [{ functionDeclarations: offered }] } });
      const calls = (await send(chat, prompt)).flatMap((r) => r.functionCalls ?? []);
      assert.deepEqual(calls.map((c) => [c.name, c.args]), offered.map((d, number) => [d.name, { number, query: prompt }]));

      const answers = calls.map(({ name }) => ({ functionResponse: { name, response: { output: `${name} is fine` } } }));
      const last = await send(chat, answers);
      assert.equal(textOf(last), `The tools say: ${offered.map((d) => `{"output":"${d.name} is fine"}`).join(', ')}`);
      assert.equal(last.at(-1).candidates[0].finishReason, 'STOP');
      const [, second] = await upstreamRequests(prompt);
      assert.ok(second.body.includes('"thoughtSignature":"c2lnbmVk"'), 'the signature of the first turn goes back with the second');
    }
  }
});

test('automatic function calling', async () => {
  const asked = [];
  const callable = {
    tool: async () => ({ functionDeclarations: declarations }),
    callTool: async (calls) => calls.map(({ name, args }) => (asked.push([name, args.number]), { functionResponse: { name, response: { output: 'fine' } } })),
  };
  for (const call of [async (ask) => [await client.models.generateContent(ask)], async (ask) => collect(await client.models.generateContentStream(ask))]) {
    asked.length = 0;
    const responses = await call({ model, contents: uniquePrompt(), config: { tools: [callable] } });
    assert.equal(textOf(responses), 'The tools say: {"output":"fine"}, {"output":"fine"}');
    assert.deepEqual(asked, [['weather', 0], ['time', 1]]);
  }
});

test('tools that must not be called', async () => {
  const prompt = uniquePrompt();
  const config = { tools: [{ functionDeclarations: declarations }], toolConfig: { functionCallingConfig: { mode: FunctionCallingConfigMode.NONE } } };
  assert.equal((await client.models.generateContent({ model, contents: prompt, config })).text, `You said: ${prompt}`);
});

test('token counting', async () => {
  assert.equal((await client.models.countTokens({ model, contents: uniquePrompt('one two three') })).totalTokens, 4);
});

test('embeddings', async () => {
  const { embeddings } = await client.models.embedContent({ model: 'gemini-embedding-001', contents: ['a', 'bc'] });
  assert.deepEqual(embeddings.map((e) => e.values), [[1, 0, 0.25], [2, 1, 0.25]]);
});

test('models', async () => {
  assert.deepEqual((await collect(await client.models.list())).map((m) => m.name), ['models/gemini-2.5-flash', 'models/gemini-2.5-pro']);
  assert.equal((await client.models.get({ model })).name, `models/${model}`);
});

test('the list of files', async () => {
  await resetUpstream();
  assert.deepEqual(await collect(await client.files.list()), []);
});

// The answer to the first request of an upload is the address that the bytes go to, at the upstream. The SDK puts the host of
// its base URL in place of the upstream's, but keeps the path, which lacks the prefix of the route.
test('an upload goes to its end by the route on which it began', async () => {
  const displayName = uniquePrompt();
  const file = await client.files.upload({ file: new Blob(['hello'], { type: 'text/plain' }), config: { displayName } });
  assert.equal(file.sizeBytes, '5');
  for (const mark of [displayName, `upload_id=${file.name.slice('files/'.length)}`]) {
    const request = await upstreamRequest(mark);
    assert.ok(request.uri.startsWith(`${geminiBase}/upload/`), `${request.uri} is not Google's`);
    assert.deepEqual(request.header['X-Goog-Api-Key'], [geminiKey]);
    assert.ok(!JSON.stringify(request).includes(forwardKey), 'the forward key went upstream');
  }
});

test("an upstream's error keeps its status and what it says", async () => {
  const codes = {
    400: 'INVALID_ARGUMENT', 403: 'PERMISSION_DENIED', 404: 'NOT_FOUND', 413: 'INVALID_ARGUMENT', 429: 'RESOURCE_EXHAUSTED', 500: 'INTERNAL',
    503: 'UNAVAILABLE', 504: 'DEADLINE_EXCEEDED',
  };
  for (const call of [whole, streamed]) {
    for (const [status, code] of Object.entries(codes)) {
      const prompt = uniquePrompt();
      const error = await failure(call(prompt, `err-${status}`));
      assert.ok(error instanceof ApiError, `${status}: ${error}`);
      assert.deepEqual([error.status, said(error).code, said(error).status], [Number(status), Number(status), code]);
      assert.equal((await upstreamRequests(prompt)).length, 1, `${status} is not retried by the gateway`);
    }
  }
});

test("the gateway's own refusals are errors of Google's and reach no upstream", async () => {
  const wrong = 'fk-this-key-was-never-handed-out';
  const refusals = {
    'a wrong key': [{ apiKey: wrong }, '', 401, 'UNAUTHENTICATED', 'API_KEY_INVALID'],
    'a model that is not allowed': [{ apiKey: narrowKey }, '', 403, 'PERMISSION_DENIED', 'MODEL_NOT_ALLOWED'],
    'a body that is too large': [{}, 'x'.repeat(1 << 20), 413, 'INVALID_ARGUMENT', 'REQUEST_TOO_LARGE'],
  };
  for (const [what, [options, more, status, code, reason]] of Object.entries(refusals)) {
    const prompt = uniquePrompt();
    const { attempts, fetch } = watchedFetch();
    const error = await failure(
      newGoogle({ ...options, fetch, retryOptions: { attempts: 3, initialDelay: 0.01 } }).models.generateContent({ model, contents: prompt + more }));
    assert.ok(error instanceof ApiError, `${what}: ${error}`);
    assert.deepEqual([error.status, said(error).code, said(error).status], [status, status, code], what);
    assert.equal(said(error).details[0].reason, reason, what);
    assert.ok(!error.message.includes(wrong), 'the key is masked');
    assert.ok(attempts[0].headers.get('x-request-id'), 'refusals carry a request id');
    assert.equal(attempts.length, 1, `${what} is not tried again`);
    assert.equal((await upstreamRequests(prompt)).length, 0, what);
  }
});

test('an API key that the upstream refuses is a 502', async () => {
  for (const how of ['err-401', 'echo-auth']) {
    const prompt = uniquePrompt();
    const error = await failure(whole(prompt, how));
    assert.ok(error instanceof ApiError, `${how}: ${error}`);
    assert.deepEqual([error.status, said(error).status], [502, 'UNAVAILABLE']);
    assert.ok(!error.message.includes(geminiKey), 'the API key came back');
    assert.equal((await upstreamRequests(prompt)).length, 1);
  }
});

test('the SDK tries again only when told to, and as often', async () => {
  for (const how of ['err-429', 'err-500', 'err-503']) {
    const prompt = uniquePrompt();
    const error = await failure(whole(prompt, how, { httpOptions: { headers: script(how), retryOptions: { attempts: 3, initialDelay: 0.05, jitter: 0 } } }));
    assert.ok(error instanceof ApiError, `${how}: ${error}`);
    assert.equal(error.status, Number(how.slice(4)));
    assert.equal((await upstreamRequests(prompt)).length, 3, how);
  }
});

test('a call that is tried again succeeds, whole and streamed', async () => {
  const config = { httpOptions: { headers: script('err-503-then-ok'), retryOptions: { attempts: 2, initialDelay: 0.05 } } };
  for (const call of [async (contents) => [await whole(contents, '', config)], async (contents) => collect(await streamed(contents, '', config))]) {
    await resetUpstream();
    const prompt = uniquePrompt();
    assert.equal(textOf(await call(prompt)), `You said: ${prompt}`);
    assert.equal((await upstreamRequests(prompt)).length, 2);
  }
});

test('a limit of the gateway says when to come back', async () => {
  const { attempts, fetch } = watchedFetch();
  const limited = newGoogle({ apiKey: limitedKey, fetch });
  const calls = await Promise.all(
    Array.from({ length: 3 }, () => limited.models.generateContent({ model, contents: uniquePrompt() }).then(() => null, (e) => e)));
  const refused = calls.filter(Boolean);
  assert.ok(refused.length >= 1, 'three calls at once, and one in two seconds is allowed');
  for (const error of refused) {
    assert.ok(error instanceof ApiError, `${error}`);
    assert.deepEqual([error.status, said(error).status], [429, 'RESOURCE_EXHAUSTED']);
    assert.match(said(error).details[0].retryDelay, /^[12]s$/);
  }
  assert.ok(attempts.filter((a) => a.status === 429).every((a) => Number(a.headers.get('retry-after')) > 0));
});

test('a stream that breaks raises ApiError and never ends cleanly', async () => {
  for (const [how, status] of [['error-in-stream', 500], ['cut-mid-stream', 502], ['malformed-chunks', 502]]) {
    const stream = await streamed(uniquePrompt(), how);
    const error = await failure(collect(stream));
    assert.ok(error instanceof ApiError, `${how}: ${error}`);
    assert.equal(error.status, status, how);
  }
});

test('a connection that dies before the answer is a 502, after one upstream call', async () => {
  for (const how of ['reset-before-headers', 'close-before-headers', 'malformed']) {
    const prompt = uniquePrompt();
    const error = await failure(whole(prompt, how));
    assert.ok(error instanceof ApiError, `${how}: ${error}`);
    assert.deepEqual([error.status, said(error).status], [502, 'UNAVAILABLE'], how);
    assert.equal((await upstreamRequests(prompt)).length, 1, how);
  }
  assert.ok((await failure(whole(uniquePrompt(), 'cut-mid-body'))) instanceof Error);
});

test('an aborted stream cancels the upstream', async () => {
  const controller = new AbortController();
  const prompt = uniquePrompt();
  const stream = await streamed(prompt, 'slow-stream-100-ms', { abortSignal: controller.signal });
  let seen = 0;
  const error = await failure((async () => {
    for await (const _ of stream) if (++seen === 3) controller.abort();
  })());
  assert.equal(error.name, 'AbortError');
  assert.equal(seen, 3);
  await assertCancelled(prompt, 'abort');
});

test('a call aborted or timed out before its answer cancels the upstream', async () => {
  const controller = new AbortController();
  const prompt = uniquePrompt();
  const rejected = failure(whole(prompt, 'stall-before-headers', { abortSignal: controller.signal }));
  await eventually(async () => (await upstreamRequests(prompt))[0], 5000, 'the upstream was called');
  controller.abort();
  assert.equal((await rejected).name, 'AbortError');
  await assertCancelled(prompt, 'abort');

  const late = uniquePrompt();
  const error = await failure(whole(late, '', { httpOptions: { headers: script('stall-before-headers'), timeout: 1000 } }));
  assert.match(error.name, /^(Abort|Timeout)Error$/);
  await assertCancelled(late, 'timeout');
});
