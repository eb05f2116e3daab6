// What was remembered in one form is accepted by the official SDKs in the other, for each provider's own operation.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import Anthropic from '@anthropic-ai/sdk';
import { GoogleGenAI } from '@google/genai';
import { collect, forwardKey, forwardURL, newClient, uniquePrompt, upstreamRequests, user } from './support.mjs';

const openai = newClient();
const anthropic = new Anthropic({ baseURL: `${forwardURL}/anthropic`, apiKey: forwardKey, maxRetries: 0 });
const google = new GoogleGenAI({ apiKey: forwardKey, vertexai: false, httpOptions: { baseUrl: `${forwardURL}/gemini`, extraBody: { caching: true } } });

const properties = { query: { type: 'string' } };
const tools = ['weather', 'time'].map((name) => ({ name, description: `Tells the ${name}.`, input_schema: { type: 'object', properties } }));

// What an SDK makes of an answer, without what it adds to it.
const plain = (value) => JSON.parse(JSON.stringify(value, (key, v) => (['_request_id', 'parsed', 'parsed_output', 'output_parsed', 'parsed_arguments', 'sdkHttpResponse'].includes(key) ? undefined : v)));

// How to ask each for an answer to a prompt as a body and as a stream; both return what was answered.
const ways = {
  responses: {
    whole: async (input) => plain(await openai.responses.create({ model: 'gpt-4o-mini', input, caching: true })),
    streamed: async (input) => plain(await openai.responses.stream({ model: 'gpt-4o-mini', input, caching: true }).finalResponse()),
  },
  messages: {
    whole: async (prompt) => plain(await anthropic.messages.create({ model: 'claude-sonnet-5', max_tokens: 1000, messages: user(prompt), caching: true })),
    streamed: async (prompt) => plain(await anthropic.messages.stream({ model: 'claude-sonnet-5', max_tokens: 1000, messages: user(prompt), caching: true }).finalMessage()),
  },
  'messages with parallel tools': {
    whole: async (prompt) => plain(await anthropic.messages.create({ model: 'claude-sonnet-5', max_tokens: 1000, messages: user(prompt), tools, caching: true })),
    streamed: async (prompt) => plain(await anthropic.messages.stream({ model: 'claude-sonnet-5', max_tokens: 1000, messages: user(prompt), tools, caching: true }).finalMessage()),
  },
  contents: {
    whole: async (contents) => {
      const { text, responseId, usageMetadata, candidates } = await google.models.generateContent({ model: 'gemini-2.5-flash', contents });
      return { text, responseId, usage: usageMetadata, finish: candidates[0].finishReason };
    },
    streamed: async (contents) => {
      const chunks = await collect(await google.models.generateContentStream({ model: 'gemini-2.5-flash', contents }));
      const { responseId, usageMetadata, candidates } = chunks.at(-1);
      return { text: chunks.map((c) => c.text ?? '').join(''), responseId, usage: usageMetadata, finish: candidates[0].finishReason };
    },
  },
};

for (const [name, { whole, streamed }] of Object.entries(ways)) {
  for (const [order, first, then] of [['a body as a stream', whole, streamed], ['a stream as a body', streamed, whole]]) {
    test(`${name}: ${order}`, async () => {
      const prompt = uniquePrompt();
      const miss = await first(prompt);
      assert.ok(JSON.stringify(miss).length > 50, 'something was answered');
      assert.deepEqual(await then(prompt), miss);
      assert.deepEqual(await first(prompt), miss);
      const requests = await upstreamRequests(prompt);
      assert.equal(requests.length, 1, 'upstream requests');
      assert.ok(!requests[0].body.includes('caching'), 'the field of ours went upstream');
    });
  }
}
