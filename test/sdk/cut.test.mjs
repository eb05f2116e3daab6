// The SDKs judge what the cache makes of answers: the golden files of internal/dialect, where NAME.json.stream is what the
// body NAME.json was cut into, and NAME.sse.folded the body that the stream NAME.sse was folded to. Each pair is served
// by a server of its own, without the gateway: an SDK must read the same from both.
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { after, before, test } from 'node:test';
import Anthropic from '@anthropic-ai/sdk';
import { GoogleGenAI } from '@google/genai';
import OpenAI from 'openai';

const testdata = new URL('../../internal/dialect/testdata/', import.meta.url);

// pairs lists the two forms of each answer of an operation.
function pairs(dialect, operation) {
  const dir = new URL(`${dialect}/`, testdata);
  const read = (file) => readFileSync(new URL(file, dir), 'utf8');
  const files = readdirSync(dir).filter((file) => file.startsWith(`${operation}-`));
  const cut = files.filter((file) => file.endsWith('.json.stream')).map((file) => ({ name: file, stream: read(file), body: read(file.replace('.stream', '')) }));
  const folded = files.filter((file) => file.endsWith('.sse.folded')).map((file) => ({ name: file, body: read(file), stream: read(file.replace('.folded', '')) }));
  assert.ok(cut.length > 0 && folded.length > 0, `no answers to ${operation} of ${dialect}`);
  return [...cut, ...folded];
}

let served; // the pair that the server answers with
const server = createServer(async (request, response) => {
  let sent = '';
  for await (const part of request) sent += part;
  const streams = request.url.includes(':streamGenerateContent') || JSON.parse(sent).stream === true;
  response.setHeader('content-type', streams ? 'text/event-stream' : 'application/json');
  response.end(streams ? served.stream : served.body);
});
const options = () => ({ baseURL: `http://127.0.0.1:${server.address().port}`, apiKey: 'none', maxRetries: 0 });

before(() => new Promise((listening) => server.listen(0, '127.0.0.1', listening)));
after(() => server.close());

// plain drops what the SDKs add to an answer, and members that are undefined.
function plain(value, ...added) {
  return JSON.parse(JSON.stringify(value, (key, v) => (added.includes(key) ? undefined : v)));
}

const question = { model: 'm', max_tokens: 9, messages: [{ role: 'user', content: 'x' }] };

for (const pair of pairs('anthropic', 'messages')) {
  test(`a message: ${pair.name}`, async () => {
    served = pair;
    const client = new Anthropic(options());
    for (const [messages, ...added] of [[client.beta.messages], [client.messages, 'context_management']]) {
      if (messages === client.messages && pair.name.includes('fallback')) continue; // which only the beta knows
      added.push('_request_id', '_workspace_id', 'parsed_output', 'parsed');
      const whole = plain(await messages.create(question), ...added);
      const streamed = plain(await messages.stream(question).finalMessage(), ...added);
      assert.deepEqual(streamed, whole);
    }
  });
}

for (const pair of pairs('openai', 'responses')) {
  test(`a response: ${pair.name}`, async () => {
    served = pair;
    const client = new OpenAI(options());
    const added = ['_request_id', 'output_parsed', 'parsed_arguments', 'parsed'];
    const whole = plain(await client.responses.create({ model: 'm', input: 'x' }), ...added);
    const runner = client.responses.stream({ model: 'm', input: 'x' });
    let text = '';
    let number = -1;
    runner.on('event', (event) => {
      if (event.type === 'response.output_text.delta') text += event.delta;
      if (event.sequence_number !== undefined) assert.equal(event.sequence_number, ++number);
    });
    assert.deepEqual(plain(await runner.finalResponse(), ...added), whole);
    assert.equal(text, whole.output_text);
  });
}

// Streams of compatible servers that do not number tool calls as the protocol wants are read by the gateway only.
const unnumbered = /^chat-tools-(all-index-0|no-index)/;

for (const pair of pairs('openai', 'chat').filter(({ name }) => !unnumbered.test(name))) {
  test(`a chat: ${pair.name}`, async () => {
    served = pair;
    const client = new OpenAI(options());
    const whole = await client.chat.completions.create(question);
    const streamed = await client.chat.completions.stream({ ...question, stream_options: { include_usage: true } }).finalChatCompletion();
    const said = ({ index, finish_reason, message: { content, refusal, tool_calls, function_call } }) => plain({
      index, finish_reason, content: content || null, refusal: refusal ?? null, function_call,
      calls: tool_calls?.map(({ id, type, function: f, custom }) => ({ id, type, name: f?.name ?? custom?.name, input: f?.arguments ?? custom?.input })) ?? [],
    });
    assert.deepEqual(streamed.choices.map(said), whole.choices.map(said));
    assert.deepEqual(plain(streamed.usage ?? null), plain(whole.usage ?? null));
    assert.equal(streamed.id, whole.id);
  });
}

for (const pair of pairs('gemini', 'generate')) {
  test(`contents: ${pair.name}`, async () => {
    served = pair;
    const client = new GoogleGenAI({ apiKey: 'none', httpOptions: { baseUrl: options().baseURL } });
    const ask = { model: 'm', contents: 'x' };
    const whole = await client.models.generateContent(ask);
    const heard = new Map();
    const listen = (candidate, position) => {
      const to = heard.get(candidate.index ?? position) ?? { text: '', thoughts: '', other: [] };
      heard.set(candidate.index ?? position, to);
      for (const { text, thought, ...rest } of candidate.content?.parts ?? []) {
        to[thought ? 'thoughts' : 'text'] += text ?? '';
        if (Object.keys(rest).length > 0) to.other.push(rest);
      }
      if (candidate.finishReason) to.finish = candidate.finishReason;
    };
    let last;
    for await (const chunk of await client.models.generateContentStream(ask)) {
      chunk.candidates?.forEach(listen);
      last = chunk;
    }
    const streamed = plain([...heard].sort());
    heard.clear();
    whole.candidates?.forEach(listen);
    assert.deepEqual(streamed, plain([...heard].sort()));
    assert.deepEqual(last.usageMetadata, whole.usageMetadata);
    assert.equal(last.responseId, whole.responseId);
  });
}
