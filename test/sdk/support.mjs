// What the suites share: clients, and the upstream's own record of what reached it.
//
// forward and the scripted upstream run already; test/e2e/sdk_test.go starts both and says where in the environment.
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
export const limitedKey = required('FORWARD_TEST_LIMITED_KEY'); // 1 embedding request in 2 seconds
export const apiKey = required('FORWARD_TEST_API_KEY'); // the one that forward puts in its place
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
