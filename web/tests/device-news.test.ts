import { beforeEach, describe, expect, it } from 'vitest';
import type { Device, DeviceKind } from '../src/rtc/types';
import { DeviceNews } from '../src/state/device-news';

const device = (kind: DeviceKind, id: string, label = id): Device => ({ kind, id, label });
const builtIn = [device('microphone', 'default', 'Standard'), device('microphone', 'Laptop')];

describe('devices', () => {
  let news: DeviceNews;

  beforeEach(() => {
    news = new DeviceNews();
    news.update(builtIn);
  });

  it('that come and go are named', () => {
    const camera = device('microphone', 'Studio');
    expect(news.update([...builtIn, camera])).toEqual({
      key: 'device.plugged',
      args: { devices: 'Studio' },
    });
    expect(news.update(builtIn)).toEqual({ key: 'device.unplugged', args: { devices: 'Studio' } });
    expect(news.update(builtIn)).toBeNull();
  });

  it('that are several things are one', () => {
    news.update([...builtIn, device('speaker', 'Laptop')]);
    const headset = [
      device('microphone', 'h1', 'Jabra Evolve (0b0e:0412)'),
      device('speaker', 'h2', 'Jabra Evolve (0b0e:0412)'),
      device('microphone', 'communications', 'Kommunikation - Jabra Evolve'),
    ];
    expect(news.update([...builtIn, device('speaker', 'Laptop'), ...headset])?.args).toEqual({
      devices: 'Jabra Evolve',
    });
  });

  it('that the browser only hid until now are not new', () => {
    expect(news.update([...builtIn, device('camera', 'Webcam')])).toBeNull();
  });

  it('without a name are not spoken of', () => {
    expect(news.update([...builtIn, device('microphone', 'x', '')])).toBeNull();
    expect(news.update(builtIn)).toBeNull();
  });
});

describe('a device that takes the place of another', () => {
  it('is named, also when the other is gone', () => {
    const news = new DeviceNews();
    news.update([device('camera', 'Laptop'), device('camera', 'Webcam')]);
    expect(news.use('camera', 'Laptop')).toBeNull();
    news.update([device('camera', 'Webcam')]);
    expect(news.use('camera', 'Webcam')).toEqual({ key: 'device.now-camera', args: { device: 'Webcam' } });
    expect(news.use('camera', 'Webcam')).toBeNull();
  });

  it('is named when the system’s choice means another one', () => {
    const news = new DeviceNews();
    news.update([device('speaker', 'default', 'Standard - Laptop')]);
    news.use('speaker', 'default');
    news.update([device('speaker', 'default', 'Standard - Jabra')]);
    expect(news.use('speaker', 'default')?.args).toEqual({ device: 'Standard - Jabra' });
  });

  it('is not spoken of while its name is unknown', () => {
    const news = new DeviceNews();
    news.update([device('camera', 'Laptop')]);
    news.use('camera', 'Laptop');
    expect(news.use('camera', 'somewhere')).toBeNull();
    expect(news.use('camera', '')).toBeNull();
    expect(news.use('camera', 'Laptop')).toBeNull();
  });
});
