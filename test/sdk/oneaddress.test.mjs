// The SDKs of the three vendors with nothing but a host name: the path shows the protocol, the model the provider.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import Anthropic from '@anthropic-ai/sdk';
import { GoogleGenAI } from '@google/genai';
import {
  anthropicBase, anthropicKey, apiKey, collect, failure, forwardKey, forwardURL, geminiBase, geminiKey, narrowKey, newClient,
  uniquePrompt, upstreamRequest, upstreamRequests, user,
} from './support.mjs';

const openai = newClient();
const anthropic = new Anthropic({ baseURL: forwardURL, apiKey: forwardKey, maxRetries: 0 });
const google = new GoogleGenAI({ apiKey: forwardKey, httpOptions: { baseUrl: forwardURL } });

// Each asks whole or streamed and resolves with the text.
const wires = {
  chat: async (model, prompt, stream) => {
    const ask = { model, messages: user(prompt) };
    if (!stream) return (await openai.chat.completions.create(ask)).choices[0].message.content;
    return (await collect(await openai.chat.completions.create({ ...ask, stream }))).map((c) => c.choices[0]?.delta.content ?? '').join('');
  },
  responses: async (model, prompt, stream) => {
    const ask = { model, input: user(prompt) };
    return (stream ? await openai.responses.stream(ask).finalResponse() : await openai.responses.create(ask)).output_text;
  },
  messages: async (model, prompt, stream) => {
    const ask = { model, max_tokens: 1000, messages: user(prompt) };
    const message = await (stream ? anthropic.messages.stream(ask).finalMessage() : anthropic.messages.create(ask));
    return message.content.map((b) => b.text).join('');
  },
  generate: async (model, prompt, stream) => {
    const ask = { model, contents: prompt };
    if (!stream) return (await google.models.generateContent(ask)).text;
    return (await collect(await google.models.generateContentStream(ask))).map((c) => c.text).join('');
  },
};

// Five kinds of upstreams: OpenAI, Anthropic, Gemini, a third party that speaks Anthropic's protocol, and local servers that
// speak chat, Responses and Messages: one at a prefix, and the one at /.
const bearer = { Authorization: `Bearer ${apiKey}` };
const served = [
  ['chat', 'gpt-4o-mini', '/v1/chat/completions', bearer],
  ['responses', 'gpt-4o-mini', '/v1/responses', bearer],
  ['messages', 'claude-sonnet-5', `${anthropicBase}/v1/messages`, { 'X-Api-Key': anthropicKey }],
  ['chat', 'claude-sonnet-5', `${anthropicBase}/v1/chat/completions`, { Authorization: `Bearer ${anthropicKey}` }],
  ['generate', 'gemini-2.5-flash', /^\/at-google\/v1(beta)?\/models\/gemini-2\.5-flash:/, { 'X-Goog-Api-Key': geminiKey }],
  ['messages', 'deepseek-chat', '/at-deepseek/anthropic/v1/messages', { 'X-Api-Key': anthropicKey }],
  ['chat', 'local-qwen', '/at-local/v1/chat/completions', bearer],
  ['responses', 'local-qwen', '/at-local/v1/responses', bearer],
  ['messages', 'local-qwen', '/at-local/v1/messages', bearer],
  ['messages', 'qwen-at-the-root', '/v1/messages', bearer],
];

for (const [wire, model, uri, credential] of served) {
  test(`${wire} of ${model}, whole and streamed`, async () => {
    for (const stream of [false, true]) {
      const prompt = uniquePrompt();
      assert.equal(await wires[wire](model, prompt, stream), `You said: ${prompt}`);
      const request = await upstreamRequest(prompt);
      assert.ok(typeof uri === 'string' ? request.uri.startsWith(uri) : uri.test(request.uri), request.uri);
      for (const slot of ['Authorization', 'X-Api-Key', 'X-Goog-Api-Key']) {
        assert.deepEqual(request.header[slot], credential[slot] && [credential[slot]], slot);
      }
      assert.ok(!JSON.stringify(request).includes(forwardKey), 'the forward key went upstream');
    }
  });
}

test('tokens are counted where the model is', async () => {
  for (const [model, base] of [['claude-sonnet-5', anthropicBase], ['deepseek-chat', '/at-deepseek/anthropic']]) {
    const prompt = uniquePrompt();
    assert.ok((await anthropic.messages.countTokens({ model, messages: user(prompt) })).input_tokens > 0);
    assert.ok((await upstreamRequest(prompt)).uri.startsWith(`${base}/v1/messages/count_tokens`));
  }
  const prompt = uniquePrompt();
  assert.ok((await google.models.countTokens({ model: 'gemini-2.5-flash', contents: prompt })).totalTokens > 0);
  assert.ok((await upstreamRequest(prompt)).uri.startsWith(geminiBase));
});

test('aliases, in a body and in a path', async () => {
  for (const [wire, model, uri] of [['chat', 'fast', '/v1/chat/completions'], ['messages', 'claude-best', `${anthropicBase}/v1/messages`], ['generate', 'flash', /^\/at-google\/v1(beta)?\/models\/gemini-2\.5-flash:/]]) {
    const prompt = uniquePrompt();
    assert.equal(await wires[wire](model, prompt, true), `You said: ${prompt}`);
    const request = await upstreamRequest(prompt);
    assert.ok(typeof uri === 'string' ? request.uri.startsWith(uri) : uri.test(request.uri), request.uri);
    assert.ok(!request.body.includes(`"${model}"`), request.body);
  }
});

test('each SDK turns the pages of its own list', async () => {
  const names = async (pages, name) => (await collect(pages)).map(name);
  assert.ok((await names(await openai.models.list(), (m) => m.id)).includes('fast'));
  const claude = await names(anthropic.models.list({ limit: 1 }), (m) => m.id);
  assert.ok(claude.includes('claude-sonnet-5') && claude.includes('claude-best'), claude.join());
  assert.ok(!claude.includes('gemini-2.5-flash'));
  const gemini = await names(await google.models.list({ config: { pageSize: 1 } }), (m) => m.name);
  assert.ok(gemini.includes('models/gemini-2.5-pro') && gemini.includes('models/flash'), gemini.join());
  assert.equal((await anthropic.models.retrieve('claude-best')).id, 'claude-best');
  const narrow = new Anthropic({ baseURL: forwardURL, apiKey: narrowKey, maxRetries: 0 });
  assert.ok(await failure(narrow.models.retrieve('claude-sonnet-5')) instanceof Anthropic.NotFoundError);
});

test("what no provider serves is the SDK's own error, and no prompt leaves", async () => {
  const prompt = uniquePrompt();
  const narrow = new Anthropic({ baseURL: forwardURL, apiKey: narrowKey, maxRetries: 0 });
  const error = await failure(narrow.messages.create({ model: 'claude-sonnet-5', max_tokens: 1, messages: user(prompt) }));
  assert.ok(error instanceof Anthropic.PermissionDeniedError, `${error}`);
  assert.equal((await upstreamRequests(prompt)).length, 0);
});
