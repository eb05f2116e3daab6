import assert from 'node:assert/strict';
import { test } from 'node:test';
import { similarity, summarize, tell, umbrella } from './assistant.mjs';

const article = 'Gateways stand between programs and the services they call. They add keys, limits and caches in one place.';

test('summarises in one sentence', async () => {
  const summary = await summarize(article);
  assert.match(summary.text, /^[^.]+\.$/);
  assert.ok(summary.tokens > 0);
});

test('tells a story piece by piece', async () => {
  const pieces = [];
  for await (const piece of tell('a lighthouse')) pieces.push(piece);
  assert.ok(pieces.length > 3, 'the story came at once');
  assert.match(pieces.join(''), /lighthouse/i);
});

test('asks for the weather before it answers', async () => {
  const asked = [];
  const answer = await umbrella('Bergen', (city) => (asked.push(city), 'heavy rain, 9 °C'));
  assert.deepEqual(asked, ['Bergen']);
  assert.match(answer, /umbrella/i);
});

test('knows what is similar', async () => {
  assert.ok((await similarity('a cat', 'a kitten')) > 0.5);
});

test('a request that was never recorded fails, and says what is new in it', async () => {
  const changed = summarize(article + ' And so on.', { maxRetries: 0 });
  await assert.rejects(changed, (error) => {
    assert.equal(error.status, 504);
    assert.equal(error.code, 'cache_only_miss');
    assert.match(error.message, /messages\[1\]\.content/);
    return true;
  });
});
