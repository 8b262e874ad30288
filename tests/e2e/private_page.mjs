// Private search in a real browser: opens the page, searches, prints what it shows as JSON.
// usage: node private_page.mjs URL API_KEY COLLECTION QUERY SCREENSHOT [DECOYS]   (with decoys it searches twice, in two pages)
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { chromium } from 'playwright-core';

const [url, apiKey, collection, query, screenshot, decoys] = process.argv.slice(2);
const profile = mkdtempSync(join(tmpdir(), 'alcove-chromium-'));
const browser = await chromium.launchPersistentContext(profile, {
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', headless: true, viewport: { width: 1200, height: 1500 },
  args: ['--no-sandbox', '--disable-gpu', '--no-first-run', '--disable-background-networking', '--disable-component-update',
         '--disable-sync'],
});
const elsewhere = [], errors = [];
try {
  const named = [];
  const search = async () => {
    const page = await browser.newPage();
    page.on('request', (request) => {
      if (!request.url().startsWith(url) && !request.url().startsWith('data:')) elsewhere.push(request.url());
      if (request.url().includes('/v1/private/search')) named.push(new URL(request.url()).searchParams.getAll('blocks').map(Number));
    });
    page.on('pageerror', (error) => errors.push(String(error)));
    page.on('console', (entry) => { if (entry.type() === 'error') errors.push(entry.text()); });
    await page.goto(`${url}/console/private`);
    await page.fill('#key', apiKey);
    await page.fill('#collection', collection);
    await page.fill('#query', query);
    if (decoys) await page.fill('#decoys', decoys);
    await page.click('#go');
    await page.waitForFunction(() => {
      const message = document.querySelector('#message');
      return message.classList.contains('bad') || message.textContent.startsWith('Done');
    }, null, { timeout: 120000 });
    return page;
  };
  if (decoys) await (await search()).close();
  const page = await search();
  const table = (id) => page.$$eval(`#${id} tbody tr`, (rows) => rows.map((row) => [...row.cells].map((cell) => cell.textContent)));
  if (screenshot) await page.screenshot({ path: screenshot, fullPage: true });
  console.log(JSON.stringify({
    message: await page.textContent('#message'), overlap: await page.textContent('#overlap'), named,
    private: await table('private'), plain: await table('plain'), steps: await table('steps'), elsewhere, errors,
  }));
} finally {
  await browser.close();
  rmSync(profile, { recursive: true, force: true });
}
