// What the suites share: clients, and the upstream's own record of what reached it.
//
// forward and the scripted upstream run already; test/e2e/sdk_test.go starts both and says where in the environment.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import OpenAI from 'openai';

function required(name) {
  const value = process.env[name];
  if (!value) throw new Error(`${name} is not set: run these tests by "go test -tags e2e -run SDK ./test/e2e"`);
  return value;
}

export const forwardURL = required('FORWARD_URL');
export const forwardKey = required('FORWARD_TEST_KEY');
export const limitedKey = required('FORWARD_TEST_LIMITED_KEY'); // 1 request in 2 seconds: embeddings, all of /anthropic, all of /gemini
export const narrowKey = required('FORWARD_TEST_NARROW_KEY'); // may use gpt-4o-mini and nothing else
// What forward puts in place of those, and where each provider is at the scripted upstream.
export const apiKey = required('FORWARD_TEST_API_KEY');
export const anthropicKey = required('FORWARD_TEST_ANTHROPIC_KEY');
export const geminiKey = required('FORWARD_TEST_GEMINI_KEY');
export const anthropicBase = '/at-anthropic';
export const geminiBase = '/at-google';
const upstreamURL = required('UPSTREAM_URL');

// The SDK's own retries are off unless a test is about them.
export function newClient(options = {}) {
  return new OpenAI({ baseURL: `${forwardURL}/v1`, apiKey: forwardKey, maxRetries: 0, ...options });
}

// A prompt that no other test sends, so that its upstream requests can be told from all others.
export function uniquePrompt(text = 'hello') {
  return `${text} ${randomUUID()}`;
}

export const user = (content) => [{ role: 'user', content }];

// The upstream's records whose body or target mentions the mark, in the order of arrival.
export async function upstreamRequests(mark) {
  const response = await fetch(`${upstreamURL}/__requests`);
  const all = (await response.json()) ?? [];
  return all.filter((r) => (r.body ?? '').includes(mark) || r.uri.includes(mark));
}

// The one record of that kind.
export async function upstreamRequest(mark) {
  const requests = await upstreamRequests(mark);
  assert.equal(requests.length, 1, 'upstream requests');
  return requests[0];
}

// Forgets all records, and which scripts named "…-then-ok" were played.
export const resetUpstream = () => fetch(`${upstreamURL}/__reset`);

// The header that makes the upstream misbehave while the request names a model of the provider's own.
export const script = (name) => ({ 'X-Script': name });

// What a rejected promise was rejected with.
export async function failure(promise) {
  try {
    await promise;
  } catch (error) {
    return error;
  }
  throw new assert.AssertionError({ message: 'it should have failed' });
}

export async function collect(stream) {
  const chunks = [];
  for await (const chunk of stream) chunks.push(chunk);
  return chunks;
}

// A fetch for a client, and what it did: one entry for each attempt that got an answer.
export function watchedFetch() {
  const attempts = [];
  const watched = async (url, init) => {
    const started = performance.now();
    const response = await fetch(url, init);
    attempts.push({ started, ended: performance.now(), status: response.status, headers: response.headers });
    return response;
  };
  return { attempts, fetch: watched };
}

// The milliseconds between each attempt's answer and the next attempt.
export const waits = (attempts) => attempts.slice(1).map((a, i) => a.started - attempts[i].ended);

// Before each further attempt the client waited what the answer before asked for. Timers may be some ms early.
export function assertWaitedAsTold(attempts) {
  for (const [i, waited] of waits(attempts).entries()) {
    const told = attempts[i].headers.get('retry-after-ms') ?? Number(attempts[i].headers.get('retry-after')) * 1000;
    assert.ok(Number(told) > 0, 'the answer says how long to wait');
    assert.ok(waited >= Number(told) - 5, `waited ${waited} ms although ${told} were asked`);
  }
}

// The upstream saw its connection close long before it had sent the hundred words of its script.
export async function assertCancelled(mark, how) {
  await eventually(async () => (await upstreamRequests(mark))[0]?.aborted, 5000, `the upstream was cancelled (${how})`);
  const { events } = await upstreamRequest(mark);
  assert.ok((events ?? 0) < 50, `${events} of 100 words were produced (${how})`);
}

// Polls until probe returns something, at most ms milliseconds.
export async function eventually(probe, ms, what) {
  const end = Date.now() + ms;
  for (;;) {
    const found = await probe();
    if (found) return found;
    if (Date.now() > end) throw new Error(`not within ${ms} ms: ${what}`);
    await sleep(20);
  }
}

// The bytes that the scripted upstream calls Pattern(n): xorshift32 from a fixed seed.
export function pattern(n) {
  const bytes = new Uint8Array(n);
  let state = 2463534242;
  for (let i = 0; i < n; i++) {
    state = (state ^ (state << 13)) >>> 0;
    state = (state ^ (state >>> 17)) >>> 0;
    state = (state ^ (state << 5)) >>> 0;
    bytes[i] = state & 0xff;
  }
  return bytes;
}

export const weatherAndTime = ['weather', 'time'].map((name) => ({
  type: 'function',
  function: { name, description: `Tells the ${name}.`, parameters: { type: 'object', properties: { query: { type: 'string' } } } },
}));
