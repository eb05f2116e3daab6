// A reader of server-sent events, for answers that come by fetch. EventSource
// cannot send a POST. It follows the HTML standard, section 9.2.6: line ends
// are CR, LF or CRLF, a blank line ends an event, lines that start with a
// colon are comments.

export interface SSE {
  event: string; // "" where the stream names none
  data: string;
  id: string;
}

// maxEvent bounds one event in characters. A stream without blank lines would
// otherwise fill the memory of the page.
const maxEvent = 16 * 1024 * 1024;

export class SSEReader {
  private line = ""; // the last line, whose end has not come
  private afterCR = false;
  private first = true;
  private event = "";
  private id = "";
  private data: string[] = [];
  private size = 0;

  // push takes a piece of the stream, cut anywhere, and returns the events that
  // it completes.
  push(piece: string): SSE[] {
    const events: SSE[] = [];
    if (this.first && piece !== "") {
      this.first = false;
      if (piece.charCodeAt(0) === 0xfeff) piece = piece.slice(1);
    }
    let start = 0;
    for (let i = 0; i < piece.length; i++) {
      const c = piece.charCodeAt(i);
      if (this.afterCR) {
        this.afterCR = false;
        if (c === 10) {
          start = i + 1;
          continue;
        }
      }
      if (c !== 10 && c !== 13) continue;
      this.afterCR = c === 13;
      this.take(this.line + piece.slice(start, i), events);
      this.line = "";
      start = i + 1;
    }
    this.line += piece.slice(start);
    if (this.size + this.line.length > maxEvent) throw new Error("an event of the stream is too long");
    return events;
  }

  // end returns the event that the end of the stream leaves without a blank
  // line. The standard drops it; providers that forget the last blank line are
  // shown in full here.
  end(): SSE[] {
    const events: SSE[] = [];
    if (this.line !== "") this.take(this.line, events);
    this.line = "";
    this.take("", events);
    return events;
  }

  private take(line: string, events: SSE[]) {
    if (line === "") {
      if (this.data.length > 0) events.push({ event: this.event, data: this.data.join("\n"), id: this.id });
      this.event = "";
      this.data = [];
      this.size = 0;
      return;
    }
    const colon = line.indexOf(":");
    if (colon === 0) return;
    const name = colon < 0 ? line : line.slice(0, colon);
    let value = colon < 0 ? "" : line.slice(colon + 1);
    if (value.startsWith(" ")) value = value.slice(1);
    switch (name) {
      case "event":
        this.event = value;
        break;
      case "data":
        this.data.push(value);
        this.size += value.length;
        break;
      case "id":
        if (!value.includes("\0")) this.id = value;
    }
  }
}

// readEvents reads a body to its end. Bytes become text across the cuts of the
// network, and an abort of the request ends the loop with its error.
export async function* readEvents(body: ReadableStream<Uint8Array>): AsyncGenerator<SSE> {
  const reader = body.getReader();
  const decoder = new TextDecoder();
  const events = new SSEReader();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      yield* events.push(decoder.decode(value, { stream: true }));
    }
    yield* events.push(decoder.decode());
    yield* events.end();
  } finally {
    reader.cancel().catch(() => {});
  }
}
