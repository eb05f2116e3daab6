// The AI SDK with the providers of its makers: four protocols, one way to call them.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createAnthropic } from '@ai-sdk/anthropic';
import { createGoogleGenerativeAI } from '@ai-sdk/google';
import { createOpenAI } from '@ai-sdk/openai';
import { APICallError, embed, embedMany, generateText, isStepCount, jsonSchema, RetryError, streamText, tool } from 'ai';
import {
  anthropicBase, anthropicKey, apiKey, assertCancelled, assertWaitedAsTold, collect, eventually, failure, forwardKey, forwardURL, geminiBase,
  geminiKey, limitedKey, narrowKey, resetUpstream, script, uniquePrompt, upstreamRequest, upstreamRequests, watchedFetch,
} from './support.mjs';

globalThis.AI_SDK_LOG_WARNINGS = false;

const openai = (options) => createOpenAI({ baseURL: `${forwardURL}/v1`, apiKey: forwardKey, ...options });
const anthropic = (options) => createAnthropic({ baseURL: `${forwardURL}/anthropic/v1`, apiKey: forwardKey, ...options });
const google = (options) => createGoogleGenerativeAI({ baseURL: `${forwardURL}/gemini/v1beta`, apiKey: forwardKey, ...options });

const protocols = {
  chat: { model: (options, name = 'gpt-4o-mini') => openai(options).chat(name), uri: '/v1/chat/completions', slot: 'Authorization', key: `Bearer ${apiKey}` },
  responses: { model: (options, name = 'gpt-4o-mini') => openai(options).responses(name), uri: '/v1/responses', slot: 'Authorization', key: `Bearer ${apiKey}` },
  messages: { model: (options, name = 'claude-sonnet-5') => anthropic(options)(name), uri: `${anthropicBase}/v1/messages`, slot: 'X-Api-Key', key: anthropicKey },
  gemini: { model: (options, name = 'gemini-2.5-flash') => google(options)(name), uri: `${geminiBase}/v1beta/models/`, slot: 'X-Goog-Api-Key', key: geminiKey },
};

// Resolves when the stream has ended, with its text, or rejects with the error that it told.
async function drained(result) {
  const parts = await collect(result.stream);
  const told = parts.find((p) => p.type === 'error');
  if (told) throw told.error;
  return parts.filter((p) => p.type === 'text-delta').map((p) => p.text).join('');
}
const quiet = { onError: () => {} }; // it would print them

const whole = (model, prompt, more) => generateText({ model, prompt, maxRetries: 0, ...more });
const streamed = (model, prompt, more) => drained(streamText({ model, prompt, maxRetries: 0, ...quiet, ...more }));

for (const [name, { model, uri, slot, key }] of Object.entries(protocols)) {
  test(`${name}: text`, async () => {
    const prompt = uniquePrompt();
    const { text, finishReason, usage, response } = await whole(model(), prompt);
    assert.equal(text, `You said: ${prompt}`);
    assert.equal(finishReason, 'stop');
    assert.deepEqual([usage.inputTokens, usage.outputTokens], [2, 4]);
    assert.ok(response.id);
    assert.ok(response.headers['x-request-id'] ?? response.headers['request-id']);
    const request = await upstreamRequest(prompt);
    assert.ok(request.uri.startsWith(uri), request.uri);
    assert.deepEqual(request.header[slot], [key]);
    assert.ok(!JSON.stringify(request).includes(forwardKey), 'the forward key went upstream');
  });

  test(`${name}: stream`, async () => {
    const prompt = uniquePrompt();
    const result = streamText({ model: model(), prompt, maxRetries: 0 });
    const said = await collect(result.textStream);
    assert.equal(said.join(''), `You said: ${prompt}`);
    assert.ok(said.length > 2, 'word by word');
    assert.equal(await result.finishReason, 'stop');
    const usage = await result.usage;
    assert.deepEqual([usage.inputTokens, usage.outputTokens], [2, 4]);
    assert.ok((await result.response).id);
  });

  test(`${name}: one tool and parallel tools, whole and streamed, and the turn after`, async () => {
    for (const offered of [['weather'], ['weather', 'time']]) {
      for (const call of [generateText, streamText]) {
        const prompt = uniquePrompt();
        const asked = [];
        const tools = Object.fromEntries(offered.map((t) => [t, tool({
          description: `Tells the ${t}.`,
          inputSchema: jsonSchema({ type: 'object', properties: { query: { type: 'string' }, number: { type: 'number' } } }),
          execute: (input) => (asked.push([t, input]), `${t} is fine`),
        })]));
        const result = await call({ model: model(), prompt, tools, stopWhen: isStepCount(2), maxRetries: 0 });
        const steps = await result.steps;
        assert.deepEqual(steps.map((s) => s.finishReason), ['tool-calls', 'stop']);
        assert.deepEqual(asked, offered.map((t, number) => [t, { number, query: prompt }]));
        const text = await result.text;
        assert.match(text, /^The tools say: /);
        for (const t of offered) assert.ok(text.includes(`${t} is fine`), text);
        assert.equal((await upstreamRequests(prompt)).length, 2);
      }
    }
  });

  test(`${name}: errors before the answer, whole and streamed`, async () => {
    for (const call of [whole, streamed]) {
      for (const status of [400, 403, 404, 413, 429, 500, 503]) {
        const prompt = uniquePrompt();
        const error = await failure(call(model(), prompt, { headers: script(`err-${status}`) }));
        assert.ok(APICallError.isInstance(error), `${status}: ${error}`);
        assert.equal(error.statusCode, status);
        assert.equal(error.isRetryable, status === 429 || status >= 500);
        assert.match(error.message, /This error is scripted/);
        assert.ok(error.responseHeaders['x-request-id'] ?? error.responseHeaders['request-id']);
        assert.equal((await upstreamRequests(prompt)).length, 1, `${status} is not retried by the gateway`);
      }
    }
  });

  test(`${name}: the gateway's own refusals are read as the provider's and reach no upstream`, async () => {
    const refusals = [
      [{ apiKey: 'fk-this-key-was-never-handed-out' }, 'gpt-4o', '', 401, /Incorrect API key/],
      [{ apiKey: narrowKey }, 'gpt-4o', '', 403, /may not use model/],
      [{}, 'gpt-4o', 'x'.repeat(1 << 20), 413, /larger than/],
    ];
    for (const [options, of, more, status, message] of refusals) {
      const prompt = uniquePrompt();
      const { attempts, fetch } = watchedFetch();
      const error = await failure(whole(model({ ...options, fetch }, of), prompt + more, { maxRetries: 2 }));
      assert.ok(APICallError.isInstance(error), `${status}: ${error}`);
      assert.equal(error.statusCode, status);
      assert.match(error.message, message, 'the provider found the message in the body');
      assert.ok(!error.message.includes('fk-this-key-was-never-handed-out'), 'the key is masked');
      assert.equal(attempts.length, 1);
      assert.equal((await upstreamRequests(prompt)).length, 0);
    }
  });

  test(`${name}: the SDK tries again as often as it should`, async () => {
    const prompt = uniquePrompt();
    const { attempts, fetch } = watchedFetch();
    const error = await failure(whole(model({ fetch }), prompt, { headers: script('err-503'), maxRetries: 1 }));
    assert.ok(RetryError.isInstance(error), `${error}`);
    assert.deepEqual([error.reason, error.errors.length], ['maxRetriesExceeded', 2]);
    assert.ok(APICallError.isInstance(error.lastError));
    assert.equal((await upstreamRequests(prompt)).length, 2);
    if (name !== 'gemini') assertWaitedAsTold(attempts); // Google says nothing of the kind in headers
    await resetUpstream();
    assert.equal((await whole(model(), prompt, { headers: script('err-503-then-ok'), maxRetries: 1 })).text, `You said: ${prompt}`);
    assert.equal((await upstreamRequests(prompt)).length, 2);
  });

  test(`${name}: a stream that breaks is an error and never ends cleanly`, async () => {
    for (const how of ['error-in-stream', 'cut-mid-stream', 'malformed-chunks']) {
      const told = [];
      const result = streamText({ model: model(), prompt: uniquePrompt(), maxRetries: 0, headers: script(how), onError: ({ error }) => told.push(error) });
      const error = await failure(drained(result));
      assert.ok(error, how);
      assert.equal(told.length, 1, how);
      assert.notEqual(await result.finishReason.then((r) => r, () => 'error'), 'stop', how);
    }
  });

  test(`${name}: an aborted stream cancels the upstream`, async () => {
    const controller = new AbortController();
    const prompt = uniquePrompt();
    const result = streamText({ model: model(), prompt, maxRetries: 0, headers: script('slow-stream-100-ms'), abortSignal: controller.signal, ...quiet });
    let seen = 0;
    const types = [];
    for await (const part of result.stream) {
      types.push(part.type);
      if (part.type === 'text-delta' && ++seen === 3) controller.abort();
    }
    assert.equal(types.at(-1), 'abort');
    await assertCancelled(prompt, 'abort');
  });

  test(`${name}: a call aborted before its answer cancels the upstream`, async () => {
    const controller = new AbortController();
    const prompt = uniquePrompt();
    const rejected = failure(whole(model(), prompt, { headers: script('stall-before-headers'), abortSignal: controller.signal }));
    await eventually(async () => (await upstreamRequests(prompt))[0], 5000, 'the upstream was called');
    controller.abort();
    assert.equal((await rejected).name, 'AbortError');
    await assertCancelled(prompt, 'abort');
  });
}

test('either of the credentials of Anthropic', async () => {
  const prompt = uniquePrompt();
  await whole(createAnthropic({ baseURL: `${forwardURL}/anthropic/v1`, authToken: forwardKey })('claude-sonnet-5'), prompt);
  const { header } = await upstreamRequest(prompt);
  assert.deepEqual([header['X-Api-Key'], header.Authorization], [[anthropicKey], undefined]);
});

test('OpenAI as its provider, and every model by its name', async () => {
  for (const [model, uri] of [['claude-sonnet-5', `${anthropicBase}/v1/chat/completions`], ['gemini-2.5-flash', `${geminiBase}/v1beta/openai/chat/completions`]]) {
    const prompt = uniquePrompt();
    assert.equal(await streamed(openai().chat(model), prompt), `You said: ${prompt}`);
    assert.equal((await upstreamRequest(prompt)).uri, uri);
  }
});

test('a limit of the gateway is waited for', async () => {
  for (let i = 0; i < 2; i++) {
    const { attempts, fetch } = watchedFetch();
    await whole(anthropic({ apiKey: limitedKey, fetch })('claude-sonnet-5'), uniquePrompt(), { maxRetries: 2 });
    assertWaitedAsTold(attempts);
  }
});

test('embeddings', async () => {
  const one = await embed({ model: openai().embeddingModel('text-embedding-3-small'), value: 'abc' });
  assert.deepEqual(one.embedding, [3, 0, 0.25]);
  assert.equal(one.usage.tokens, 1);
  for (const model of [openai().embeddingModel('text-embedding-3-small'), google().embeddingModel('gemini-embedding-001')]) {
    assert.deepEqual((await embedMany({ model, values: ['a', 'bc'] })).embeddings, [[1, 0, 0.25], [2, 1, 0.25]]);
  }
});
