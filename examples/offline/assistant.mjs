// A small application: it summarises a text, tells a story as it is written, and asks a tool for the weather.
import OpenAI from 'openai';

// The SDK reads OPENAI_BASE_URL and OPENAI_API_KEY; forward in offline mode asks for no key.
export const client = new OpenAI({
  baseURL: process.env.OPENAI_BASE_URL ?? 'http://127.0.0.1:8000/v1',
  apiKey: process.env.OPENAI_API_KEY ?? 'none',
});

const model = 'gpt-4o-mini';

export async function summarize(text, options) {
  const messages = [
    { role: 'system', content: 'Summarise what the user writes in one sentence.' },
    { role: 'user', content: text },
  ];
  const answer = await client.chat.completions.create({ model, messages, temperature: 0 }, options);
  return { text: answer.choices[0].message.content, tokens: answer.usage.total_tokens };
}

export async function* tell(subject) {
  const messages = [{ role: 'user', content: `Tell me a story of three sentences about ${subject}.` }];
  for await (const chunk of await client.chat.completions.create({ model, messages, stream: true })) {
    const piece = chunk.choices[0]?.delta.content;
    if (piece) yield piece;
  }
}

const weather = {
  type: 'function',
  function: {
    name: 'weather',
    description: 'The weather in a city now.',
    parameters: { type: 'object', properties: { city: { type: 'string' } }, required: ['city'], additionalProperties: false },
  },
};

export async function umbrella(city, lookUp) {
  const messages = [{ role: 'user', content: `Do I need an umbrella in ${city} today?` }];
  const first = await client.chat.completions.create({ model, messages, tools: [weather] });
  const call = first.choices[0].message.tool_calls[0];
  messages.push(first.choices[0].message, { role: 'tool', tool_call_id: call.id, content: lookUp(JSON.parse(call.function.arguments).city) });
  const second = await client.chat.completions.create({ model, messages, tools: [weather] });
  return second.choices[0].message.content;
}

export async function similarity(one, other) {
  const { data } = await client.embeddings.create({ model: 'text-embedding-3-small', input: [one, other] });
  return data[0].embedding.reduce((sum, x, i) => sum + x * data[1].embedding[i], 0);
}
