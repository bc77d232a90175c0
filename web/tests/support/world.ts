export * from '../../scripted/world';
