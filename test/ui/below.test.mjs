// D25: the dashboard behind a proxy that serves the gateway below a path.
import assert from 'node:assert/strict';
import test from 'node:test';
import { open, pages, profile, scenes, signIn } from './support.mjs';

const { team } = scenes;

test('D25 everything works below a path', { skip: team.below ? false : 'nginx is not installed' }, async () => {
  const p = await profile(team, { url: team.below });
  const page = await signIn(p, team.admin);
  const [cookie] = await p.context.cookies();
  assert.equal(cookie.path, '/gw/_/');
  for (const hash of pages.administrator) {
    await open(page, hash);
    assert.equal(await page.getByRole('alert').count(), 0, `#/${hash}: ${await page.getByRole('alert').allInnerTexts()}`);
  }
  await page.reload();
  await page.locator('.shell').waitFor();
  await p.closed();
});
