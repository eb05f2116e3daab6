// A text of a model or a client, plain or as Markdown. Either way it becomes
// text nodes and known elements, never HTML.
import { h, type ComponentChildren, type VNode } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { copyText } from "../../components/values";
import * as format from "../../format";
import { t } from "../../i18n";
import { maxMarkdown, parsePiece, pieces, type Block, type Inline } from "./markdown.ts";
import { cut } from "./transcript.ts";

export function TextView({ text, markdown }: { text: string; markdown: boolean }) {
  if (text === "") return <span class="muted">{t.requests.content.empty}</span>;
  if (!markdown) return <Plain text={text} />;
  if (text.length > maxMarkdown) return <><p class="muted small-text">{t.requests.content.tooLongMarkdown}</p><Plain text={text} /></>;
  return <Markdown text={text} />;
}

/** A text as it is; a very long one is cut. */
export function Plain({ text }: { text: string }) {
  const part = cut(text);
  return (
    <>
      <div class="text" dir="auto">{part.text}</div>
      {part.left > 0 && (
        <p class="row muted small-text">
          {t.requests.content.cut(format.integer(part.left))}
          <button type="button" class="button small" onClick={() => copyText(text)}>{t.requests.content.cutCopy}</button>
        </p>
      )}
    </>
  );
}

// Markdown draws piece by piece and gives the page time between them.
function Markdown({ text }: { text: string }) {
  const [drawn, setDrawn] = useState<{ of: string; nodes: VNode[] }>({ of: "", nodes: [] });
  const alive = useRef(0);
  useEffect(() => {
    const turn = ++alive.current;
    const run = async () => {
      const { lexer } = await import("marked");
      const nodes: VNode[] = [];
      let until = performance.now() + 20;
      for (const piece of pieces(text)) {
        if (turn !== alive.current) return;
        nodes.push(<div key={nodes.length}>{blocks(parsePiece((s) => lexer(s), piece))}</div>);
        if (performance.now() < until) continue;
        setDrawn({ of: text, nodes: nodes.slice() });
        await new Promise((r) => setTimeout(r));
        until = performance.now() + 20;
      }
      if (turn === alive.current) setDrawn({ of: text, nodes });
    };
    run().catch(() => setDrawn({ of: text, nodes: [<Plain key={0} text={text} />] }));
    return () => void alive.current++;
  }, [text]);
  if (drawn.of === "") return <Plain text={text} />;
  return <div class="markdown" dir="auto">{drawn.nodes}</div>;
}

function blocks(list: Block[]): ComponentChildren[] {
  return list.map((b, i) => {
    switch (b.type) {
      case "paragraph":
        return <p key={i}>{inlines(b.children)}</p>;
      case "heading":
        return h(`h${Math.min(6, b.depth + 3)}`, { key: i }, inlines(b.children));
      case "code":
        return <pre key={i} class="block" dir="ltr"><code>{b.text}</code></pre>;
      case "plain":
        return <div key={i} class="text">{b.text}</div>;
      case "quote":
        return <blockquote key={i}>{blocks(b.children)}</blockquote>;
      case "rule":
        return <hr key={i} />;
      case "list": {
        const items = b.items.map((item, j) => (
          <li key={j}>{item.checked !== null && <input type="checkbox" checked={item.checked} disabled />}{blocks(item.children)}</li>
        ));
        return b.ordered ? <ol key={i} start={b.start}>{items}</ol> : <ul key={i}>{items}</ul>;
      }
      case "table":
        return (
          <div key={i} class="table-box">
            <table class="table">
              <thead><tr>{b.header.map((c, j) => <th key={j} scope="col">{inlines(c)}</th>)}</tr></thead>
              <tbody>{b.rows.map((r, j) => <tr key={j}>{r.map((c, k) => <td key={k}>{inlines(c)}</td>)}</tr>)}</tbody>
            </table>
          </div>
        );
    }
  });
}

function inlines(list: Inline[]): ComponentChildren[] {
  return list.map((n, i) => {
    switch (n.type) {
      case "text":
        return n.text;
      case "code":
        return <code key={i}>{n.text}</code>;
      case "br":
        return <br key={i} />;
      case "link": {
        // The address is always in sight, whatever the text of the link is.
        const same = n.children.length === 1 && n.children[0]!.type === "text" && n.children[0]!.text === n.href;
        return <a key={i} href={n.href} target="_blank" rel="noreferrer noopener">{same ? n.href : <>{inlines(n.children)} ({n.href})</>}</a>;
      }
      default:
        return h(n.type, { key: i }, inlines(n.children));
    }
  });
}
