// Each failure raises the class that the SDK documents for it, and costs exactly the upstream calls that it must.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import OpenAI from 'openai';
import {
  apiKey, assertCancelled, assertWaitedAsTold, collect, eventually, failure, forwardKey, forwardURL, limitedKey, newClient, uniquePrompt,
  upstreamRequests, user, watchedFetch,
} from './support.mjs';

const client = newClient();

const chat = (model, prompt, options = {}) => client.chat.completions.create({ model, messages: user(prompt), ...options });

test('a wrong key raises AuthenticationError and reaches no upstream', async () => {
  const prompt = uniquePrompt();
  const wrong = newClient({ apiKey: 'fk-this-key-was-never-handed-out', maxRetries: 2 });
  const error = await failure(wrong.chat.completions.create({ model: 'gpt-4o-mini', messages: user(prompt) }));
  assert.ok(error instanceof OpenAI.AuthenticationError, `${error}`);
  assert.equal(error.status, 401);
  assert.equal(error.code, 'invalid_api_key');
  assert.ok(error.requestID, 'errors carry a request id');
  assert.ok(!error.message.includes('fk-this-key-was-never-handed-out'), 'the key is masked');
  assert.equal((await upstreamRequests(prompt)).length, 0);
});

// Six callers of one key share one request in two seconds, and the SDK retries twice: the windows admit one each, so at
// least three calls are refused three times although they waited as they were told.
test('a limit raises RateLimitError after retries that honoured Retry-After', async () => {
  const calls = Array.from({ length: 6 }, async () => {
    const { attempts, fetch } = watchedFetch();
    const limited = newClient({ apiKey: limitedKey, maxRetries: 2, fetch });
    const error = await limited.embeddings.create({ model: 'm', input: 'x' }).then(() => null, (e) => e);
    return { attempts, error };
  });
  const done = await Promise.all(calls);
  const refused = done.filter((c) => c.error);
  assert.ok(refused.length >= 3 && refused.length <= 5, `${refused.length} of 6 calls were refused`);
  for (const { attempts, error } of refused) {
    assert.ok(error instanceof OpenAI.RateLimitError, `${error}`);
    assert.equal(error.code, 'rate_limit_exceeded');
    assert.match(error.message, /[Ll]imit 1\b/);
    assert.deepEqual(attempts.map((a) => a.status), [429, 429, 429]);
  }
  for (const { attempts } of done) {
    for (const attempt of attempts.slice(0, -1)) {
      const ms = Number(attempt.headers.get('retry-after-ms'));
      assert.ok(ms > 0 && ms <= 2000, `retry-after-ms is ${attempt.headers.get('retry-after-ms')}`);
      assert.ok(Math.abs(Number(attempt.headers.get('retry-after')) * 1000 - ms) <= 1000, 'retry-after says the same in seconds');
      assert.equal(attempt.headers.get('x-ratelimit-limit-requests'), '1');
      assert.equal(attempt.headers.get('x-ratelimit-remaining-requests'), '0');
    }
    assertWaitedAsTold(attempts);
  }
});

test('a call that waited as told is admitted', async () => {
  const limited = newClient({ apiKey: limitedKey, maxRetries: 2 });
  for (let i = 0; i < 3; i++) await limited.embeddings.create({ model: 'm', input: 'x' });
});

test('an upstream 500 raises InternalServerError and is not retried by the gateway', async () => {
  const prompt = uniquePrompt();
  const error = await failure(chat('err-500', prompt));
  assert.ok(error instanceof OpenAI.InternalServerError, `${error}`);
  assert.equal(error.status, 500);
  assert.equal(error.code, 'scripted_error');
  assert.equal((await upstreamRequests(prompt)).length, 1);
});

test("the SDK's own retries make the only further calls", async () => {
  const prompt = uniquePrompt();
  const retrying = newClient({ maxRetries: 1 });
  await failure(retrying.chat.completions.create({ model: 'err-500', messages: user(prompt) }));
  assert.equal((await upstreamRequests(prompt)).length, 2);
  const patient = uniquePrompt();
  const completion = await retrying.chat.completions.create({ model: 'err-503-then-ok', messages: user(patient) });
  assert.equal(completion.choices[0].message.content, `You said: ${patient}`);
});

test('other upstream errors keep their class', async () => {
  const classes = {
    'err-400': OpenAI.BadRequestError, 'err-404': OpenAI.NotFoundError, 'err-409': OpenAI.ConflictError,
    'err-422': OpenAI.UnprocessableEntityError, 'err-429': OpenAI.RateLimitError, 'err-503': OpenAI.InternalServerError,
  };
  for (const [model, expected] of Object.entries(classes)) {
    const error = await failure(chat(model, uniquePrompt()));
    assert.ok(error instanceof expected, `${model}: ${error}`);
    assert.equal(error.status, Number(model.slice(4)));
  }
});

test('an aborted stream cancels the upstream within a second', async () => {
  for (const how of ['abort', 'break']) {
    const prompt = uniquePrompt();
    const stream = await chat('slow-stream-50-ms', prompt, { stream: true });
    let seen = 0;
    for await (const _ of stream) {
      if (++seen < 3) continue;
      if (how === 'break') break;
      stream.controller.abort();
    }
    await assertCancelled(prompt, how);
  }
});

test('a call aborted before its answer cancels the upstream within a second', async () => {
  const prompt = uniquePrompt();
  const controller = new AbortController();
  const call = client.chat.completions.create({ model: 'stall-before-headers', messages: user(prompt) }, { signal: controller.signal });
  const rejected = failure(call);
  await eventually(async () => (await upstreamRequests(prompt))[0], 5000, 'the upstream was called');
  controller.abort();
  assert.ok((await rejected) instanceof OpenAI.APIUserAbortError);
  await eventually(async () => (await upstreamRequests(prompt))[0].aborted, 1000, 'the upstream was cancelled');
});

test('a stream that breaks upstream raises APIError and never ends cleanly', async () => {
  for (const model of ['cut-mid-stream', 'error-in-stream', 'malformed-chunks']) {
    const stream = await chat(model, uniquePrompt(), { stream: true });
    const error = await failure(collect(stream));
    assert.ok(error instanceof OpenAI.APIError, `${model}: ${error}`);
  }
});

test('a broken Responses stream raises too', async () => {
  const stream = await client.responses.create({ model: 'cut-mid-stream', input: uniquePrompt(), stream: true });
  const error = await failure(collect(stream));
  assert.ok(error instanceof OpenAI.APIError, `${error}`);
});

test('a body that breaks upstream fails the call', async () => {
  const error = await failure(chat('cut-mid-body', uniquePrompt()));
  assert.ok(error instanceof Error);
});

test('a connection that dies before the answer is a 502, after one upstream call', async () => {
  for (const model of ['reset-before-headers', 'close-before-headers', 'malformed']) {
    const prompt = uniquePrompt();
    const error = await failure(chat(model, prompt));
    assert.ok(error instanceof OpenAI.InternalServerError, `${model}: ${error}`);
    assert.equal(error.status, 502, model);
    assert.match(error.code, /^upstream_/);
    assert.equal((await upstreamRequests(prompt)).length, 1, `${model}: the request may have been executed, so it is not sent again`);
  }
});

test('a redirect is a 502 and is not followed', async () => {
  const error = await failure(chat('redirect', uniquePrompt()));
  assert.equal(error.status, 502);
  assert.equal(error.code, 'upstream_redirect');
});

test('a body that is no JSON is a 400 of the gateway', async () => {
  const prompt = uniquePrompt();
  const response = await fetch(`${forwardURL}/v1/chat/completions`, {
    method: 'POST',
    headers: { Authorization: `Bearer ${forwardKey}`, 'Content-Type': 'application/json' },
    body: `{"model":"gpt-4o-mini","messages":[{"role":"user","content":"${prompt}"}]`,
  });
  assert.equal(response.status, 400);
  assert.equal((await response.json()).error.code, 'invalid_json');
  assert.equal((await upstreamRequests(prompt)).length, 0);
});

test('no error names the API key or the upstream', async () => {
  for (const model of ['err-500', 'err-403', 'echo-auth-400', 'reset-before-headers', 'redirect']) {
    const error = await failure(chat(model, uniquePrompt()));
    const said = JSON.stringify([error.message, error.error, [...(error.headers ?? [])]]);
    assert.ok(!said.includes(apiKey), `${model}: the API key is in ${said}`);
    assert.ok(!said.includes(process.env.UPSTREAM_URL.replace('http://', '')), `${model}: the upstream's address is in ${said}`);
  }
});
