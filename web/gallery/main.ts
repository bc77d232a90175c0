/** One scene in the whole window, or the list of all with every component: `/?scene=meeting-4&theme=dark&lang=de`. */

import { mount, tick } from 'svelte';
import en from '../locales/en.json';
import { LANGUAGES, setLanguage, speak, t } from '../src/i18n';
import App from '../src/ui/App.svelte';
import { showTheme } from '../src/ui/theme';
import '../src/ui/styles/tokens.css';
import '../src/ui/styles/base.css';
import '../src/ui/styles/tints.css';
import './gallery.css';
import { World } from '../scripted/world';
import Index from './Index.svelte';
import { pseudoMessages } from './pseudo';
import { SCENES, type Scene } from './scenes';
import { settled } from './settled';

/** 25 November 2026, 9:55 in Berlin. */
const BEGIN = Date.UTC(2026, 10, 25, 8, 55);

const query = new URLSearchParams(location.search);

async function chooseLanguage(): Promise<void> {
  const wanted = query.get('lang') ?? 'de';
  if (wanted === 'pseudo') speak('en', pseudoMessages(en));
  else await setLanguage(LANGUAGES.find((language) => language === wanted) ?? 'en');
}

function worldOfScenes(theme: string | null): World {
  const world = new World();
  world.clock.time = BEGIN;
  let byte = 0;
  world.ports.random = (count) => Uint8Array.from({ length: count }, () => (byte = (byte * 5 + 89) % 256));
  world.ports.words = ({ key, args }) => t.get()(key, args);
  if (theme) world.local.set('konklave.theme', theme);
  return world;
}

async function play(scene: Scene, target: HTMLElement): Promise<void> {
  const world = worldOfScenes(query.get('theme'));
  const app = await scene.make(world);
  app.options.view.subscribe(({ theme }) => showTheme(theme));
  mount(App, { target, props: { app, canChooseSpeaker: true } });
  await tick();
  await scene.act?.();
}

await chooseLanguage();
const target = document.getElementById('app');
const name = query.get('scene');
const scene = name === null ? undefined : SCENES[name];
if (target && scene) await play(scene, target);
else if (target) mount(Index, { target, props: { query } });
await settled();
document.documentElement.dataset.ready = name ?? 'index';
