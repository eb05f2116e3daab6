// D10: what callers and upstreams send is shown as text, and a page stays
// usable whatever its size.
import assert from 'node:assert/strict';
import test from 'node:test';
import { api, nameOf, open, pages, picture, profile, scenes, signIn } from './support.mjs';

const { hostile } = scenes;

// The longest task of the page's thread, in milliseconds, since watch was called.
const watch = (page) =>
  page.evaluate(() => {
    window.longest = 0;
    new PerformanceObserver((list) => {
      for (const entry of list.getEntries()) window.longest = Math.max(window.longest, entry.duration);
    }).observe({ type: 'longtask', buffered: false });
  });

test('D10 markup of others is text on every page', async () => {
  const p = await profile(hostile);
  const page = await signIn(p, hostile.admin);
  const { keys } = (await api(hostile, '/keys')).json;
  for (const hash of [...pages.administrator, `keys/${keys[0].id}`]) {
    await open(page, hash);
    assert.doesNotMatch(await page.title(), /owned/);
    const planted = await page.evaluate(() => document.querySelectorAll('main script, main [onerror], main [onclick], main [onload], main iframe, main a[href^="javascript"], main img:not([src^="data:"])').length);
    assert.equal(planted, 0, `#/${hash} has elements of others`);
    await picture(page, `hostile-${nameOf(hash)}`);
  }
  await p.closed();
});

test('D10 D20 prompts and answers of any size are text', async () => {
  const p = await profile(hostile);
  const page = await signIn(p, hostile.admin);
  const { requests } = (await api(hostile, '/requests')).json;
  assert.ok(requests.length >= 3, JSON.stringify(requests));
  for (const [i, row] of requests.entries()) {
    await open(page, `requests?open=${row.id}`);
    await page.getByRole('dialog').waitFor();
    await watch(page);
    const show = page.getByRole('button', { name: /show content/i });
    if (await show.count()) {
      await show.click();
      await page.getByRole('dialog').getByText(/user/i).first().waitFor();
      const markdown = page.getByRole('dialog').getByRole('button', { name: /markdown/i });
      if (await markdown.count()) await markdown.first().click();
    }
    await page.waitForTimeout(300);
    assert.ok((await page.evaluate(() => window.longest)) <= 200, `the page's thread stood still for ${await page.evaluate(() => window.longest)} ms`);
    const inside = page.getByRole('dialog');
    assert.equal(await inside.locator('script, img:not([src^="data:"]), iframe, a[href^="javascript"]').count(), 0);
    for (const link of await inside.locator('a[href^="http"]').all()) assert.match(await link.getAttribute('rel'), /noreferrer/);
    await picture(page, `hostile-request-${i}`);
    await page.keyboard.press('Escape');
  }
  await p.closed();
});
