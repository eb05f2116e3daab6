// Every page, for each role, in both languages, light, dark and narrow: no
// offence, no violation of accessibility rules, no text of the other language.
import assert from 'node:assert/strict';
import test from 'node:test';
import { english } from './texts.mjs';
import { command, nameOf, open, pages, picture, profile, scenes, signIn, violations } from './support.mjs';

const viewers = [
  { role: 'administrator', secret: scenes.team.admin },
  { role: 'holder', secret: scenes.team.keys.alice },
];

for (const { role, secret } of viewers) {
  for (const scheme of ['light', 'dark']) {
    test(`D04 D23 D26 the pages of the ${role}, ${scheme}`, async () => {
      const p = await profile(scenes.team, { scheme });
      const page = await signIn(p, secret);
      const found = [];
      for (const hash of pages[role]) {
        await open(page, hash);
        assert.ok((await page.locator('h1').first().innerText()).trim(), `#/${hash} has no heading`);
        assert.equal(await page.getByRole('alert').count(), 0, `#/${hash}: ${await page.getByRole('alert').allInnerTexts()}`);
        await picture(page, `${role}-${nameOf(hash)}-${scheme}`);
        for (const violation of await violations(page)) found.push(`#/${hash}: ${violation}`);
      }
      assert.deepEqual(found, []);
      await p.closed();
    });
  }

  test(`D23 the pages of the ${role} are 360 px wide`, async () => {
    const p = await profile(scenes.team, { width: 360, height: 780 });
    const page = await signIn(p, secret);
    const wide = [];
    for (const hash of pages[role]) {
      await open(page, hash);
      const width = await page.evaluate(() => document.scrollingElement.scrollWidth);
      if (width > 360) wide.push(`#/${hash} is ${width} px wide`);
      await picture(page, `${role}-${nameOf(hash)}-phone`);
    }
    assert.deepEqual(wide, []);
    await p.closed();
  });

  test(`D24 the pages of the ${role} in Chinese`, async () => {
    const p = await profile(scenes.team, { lang: 'zh-CN' });
    const page = await signIn(p, secret);
    const left = [];
    for (const hash of pages[role]) {
      await open(page, hash);
      const shown = await page.evaluate(() => {
        const texts = [];
        const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
        while (walk.nextNode()) texts.push(walk.currentNode.nodeValue.trim());
        for (const e of document.querySelectorAll('[aria-label], [title], [placeholder]')) {
          for (const name of ['aria-label', 'title', 'placeholder']) if (e.hasAttribute(name)) texts.push(e.getAttribute(name).trim());
        }
        return texts;
      });
      for (const text of shown) if (english.has(text)) left.push(`#/${hash}: ${text}`);
      await picture(page, `${role}-${nameOf(hash)}-zh`);
    }
    assert.deepEqual(left, []);
    await page.reload();
    await page.locator('.shell').waitFor();
    assert.match(await page.evaluate(() => document.documentElement.lang), /^zh/);
    await p.closed();
  });
}

test('every page of an empty ledger', () => quiet('empty', scenes.empty));
test('every page without a ledger', () => quiet('off', scenes.off));

// A person asks for the picture by FORWARD_UI_SCREENSHOTS.
const asked = scenes.example ? test : () => {};
asked('the picture of the README', async () => {
  const p = await profile(scenes.example, { height: 800 });
  const page = await signIn(p, scenes.example.admin);
  await open(page, '');
  await picture(page, 'readme');
  await p.closed();
});

async function quiet(name, scene) {
  const p = await profile(scene);
  const link = (await command(scene, 'dashboard')).match(/http\S+/)[0];
  const page = await p.context.newPage();
  await page.goto(link);
  await page.locator('.shell').waitFor();
  for (const hash of pages.administrator) {
    await open(page, hash);
    assert.ok((await page.locator('h1').first().innerText()).trim(), `#/${hash} has no heading`);
    assert.equal(await page.getByText(/\b(undefined|NaN)\b/).count(), 0, `#/${hash} shows a value that is none`);
    await picture(page, `${name}-${nameOf(hash)}`);
  }
  await p.closed();
}
