// Everything that is not chat: embeddings, images, audio, files, models.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { toFile } from 'openai';
import { newClient, pattern, uniquePrompt } from './support.mjs';

const client = newClient();

test('embeddings, packed as the SDK asks for them and as plain numbers', async () => {
  const packed = await client.embeddings.create({ model: 'text-embedding-3-small', input: uniquePrompt() });
  assert.deepEqual(Array.from(packed.data[0].embedding), [1, 0.5, 0.25]);
  const plain = await client.embeddings.create({ model: 'text-embedding-3-small', input: ['a', 'bc'], encoding_format: 'float' });
  assert.deepEqual(plain.data.map((d) => d.embedding), [[1, 0, 0.25], [2, 1, 0.25]]);
});

test('moderation', async () => {
  const moderation = await client.moderations.create({ model: 'omni-moderation-latest', input: uniquePrompt() });
  assert.equal(moderation.results[0].flagged, false);
});

test('image', async () => {
  const prompt = uniquePrompt('a cat');
  const image = await client.images.generate({ model: 'gpt-image-1', prompt, n: 2 });
  assert.equal(image.data.length, 2);
  assert.deepEqual(new Uint8Array(Buffer.from(image.data[0].b64_json, 'base64')), pattern(1024));
  assert.equal(image.data[0].revised_prompt, prompt);
});

test('audio upload', async () => {
  const audio = pattern(600_000);
  const sum = createHash('sha256').update(audio).digest('hex');
  const file = await toFile(audio, 'speech.mp3', { type: 'audio/mpeg' });
  const transcription = await client.audio.transcriptions.create({ model: 'whisper-1', file });
  assert.equal(transcription.text, `speech.mp3 600000 bytes ${sum} model whisper-1`);
  const translation = await client.audio.translations.create({ model: 'whisper-1', file });
  assert.equal(translation.text, transcription.text);
});

test('speech', async () => {
  const speech = await client.audio.speech.create({ model: 'tts-1', voice: 'alloy', input: uniquePrompt() });
  assert.equal(speech.headers.get('content-type'), 'audio/mpeg');
  assert.deepEqual(new Uint8Array(await speech.arrayBuffer()), pattern(64 << 10));
});

test('files', async () => {
  const content = pattern(100_000);
  const created = await client.files.create({ file: await toFile(content, 'batch.jsonl'), purpose: 'batch' });
  assert.equal(created.bytes, content.length);
  assert.equal((await client.files.retrieve(created.id)).filename, 'batch.jsonl');
  const listed = [];
  for await (const file of client.files.list()) listed.push(file.id);
  assert.ok(listed.includes(created.id));
  const back = await client.files.content(created.id);
  assert.deepEqual(new Uint8Array(await back.arrayBuffer()), content);
  assert.equal((await client.files.delete(created.id)).deleted, true);
  await assert.rejects(client.files.retrieve(created.id), { status: 404 });
});

test('models', async () => {
  const ids = [];
  for await (const model of client.models.list()) ids.push(model.id);
  assert.ok(ids.includes('gpt-4o-mini'));
  assert.equal((await client.models.retrieve('gpt-4o-mini')).object, 'model');
});
