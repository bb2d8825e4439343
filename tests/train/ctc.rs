//! A Conformer that learns to transcribe, and what batches of speech are refused for.

use std::collections::BTreeMap;

use foveate::models::{ConformerConfig, Model, SoundEncoder, SoundStream};
use foveate::nn::Training;
use foveate::ops::optimizer::AdamW;
use foveate::processing::sound::greedy;
use foveate::runtime::{Device, Store};
use foveate::train::{
    Description, Mode, Optimizer, Schedule, Settings, SoundBatch, Start, Trainer, Utterance, ctc_inputs,
    ctc_loss,
};
use foveate::{DType, ErrorKind, Graph, HostTensor, Random, Result};

use crate::support::gpu;

const BINS: usize = 8;
const SIZE: SoundBatch = SoundBatch { batch: 3, steps: 63, labels: 3 };

fn config(left_context: Option<usize>) -> ConformerConfig {
    ConformerConfig {
        vocab_size: 4,
        hidden_size: 16,
        num_hidden_layers: 1,
        num_attention_heads: 2,
        intermediate_size: 24,
        conv_depthwise_kernel_size: 5,
        subsampling_channels: 4,
        num_mel_bins: BINS,
        sampling_rate: 16_000,
        left_context,
    }
}

/// Each symbol is loud in bins of its own for 16 steps, with silence between, and a little noise everywhere.
fn sound(symbols: &[u32], seed: u64) -> Vec<f32> {
    let mut random = Random::new(seed);
    let mut sound = Vec::new();
    for &symbol in symbols {
        for step in 0..20 {
            let is_loud = |bin: usize| step < 16 && bin / 2 == symbol as usize;
            sound.extend(
                (0..BINS).map(|bin| 0.1 * random.next_normal() + if is_loud(bin) { 2.0 } else { 0.0 }),
            );
        }
    }
    sound
}

const TEXTS: [&[u32]; 3] = [&[1, 3, 2], &[2, 2], &[3]];

fn batch(model: &Model) -> Vec<(&'static str, HostTensor)> {
    let sounds: Vec<Vec<f32>> = TEXTS.iter().zip(0..).map(|(text, seed)| sound(text, seed)).collect();
    let utterances: Vec<Utterance<'_>> =
        sounds.iter().zip(TEXTS).map(|(sound, symbols)| Utterance { sound, symbols }).collect();
    ctc_inputs(model, &utterances, SIZE).unwrap()
}

fn trainer(device: &Device, config: &ConformerConfig, model: &Model) -> Trainer {
    let record = |graph: &mut Graph, mode: Mode| {
        let training = (mode == Mode::Train).then(Training::default);
        ctc_loss(graph, model, SIZE, DType::F32, training)
    };
    let weights =
        config.initial_weights(model.declarations(), 1).collect::<Result<BTreeMap<_, _>>>().unwrap();
    let settings = Settings {
        max_norm: Some(1.0),
        ..Settings::new(Optimizer::AdamW(AdamW::default()), Schedule::constant(0.01))
    };
    let start = Start::Weights(&weights);
    Trainer::new(device, model.declarations(), &record, start, Description::default(), settings).unwrap()
}

#[test]
fn a_conformer_learns_to_hear_symbols_and_a_causal_one_too() {
    for left_context in [None, Some(6)] {
        let config = config(left_context);
        let model = config.model().unwrap();
        let batch = batch(&model);
        let named: Vec<(&str, &HostTensor)> = batch.iter().map(|(name, tensor)| (*name, tensor)).collect();
        let mut trainer = trainer(&gpu(), &config, &model);
        let unused = trainer.unused();
        assert!(unused.iter().all(|name| name.ends_with("linear_k.bias")), "{unused:?}");
        let first = trainer.step(&[&named]).unwrap().loss;
        let mut last = first;
        for _ in 0..80 {
            last = trainer.step(&[&named]).unwrap().loss;
        }
        assert!(last < 0.1 * first, "{first} {last}");
        let mut encoder = SoundEncoder::with_store(&model, trainer.weights(), DType::F32).unwrap();
        // New noise, and each by itself.
        for (text, seed) in TEXTS.iter().zip(50..) {
            let scores = encoder.run(&[sound(text, seed)]).unwrap().remove(0);
            let pieces = greedy(&scores.to_f32(), 4, 0).unwrap();
            assert_eq!(pieces.iter().map(|piece| piece.symbol).collect::<Vec<_>>(), *text);
        }
    }
}

/// A model with the weights that a training starts from.
fn fresh(left_context: Option<usize>, device: &Device) -> SoundEncoder {
    let config = config(left_context);
    let model = config.model().unwrap();
    let weights = Store::upload(device, config.initial_weights(model.declarations(), 3)).unwrap();
    SoundEncoder::with_store(&model, &weights, DType::F32).unwrap()
}

/// Frames of a causal model do not see what follows, beyond the steps that they are made of; others do.
#[test]
fn a_causal_model_does_not_hear_what_follows() {
    for (left_context, is_causal) in [(Some(6), true), (None, false)] {
        let mut encoder = fresh(left_context, &Device::Cpu);
        let frames = encoder.frames();
        let whole = sound(&[1, 2, 3], 7);
        let begun = &whole[..31 * BINS];
        let scores = encoder.run(&[&whole[..], begun]).unwrap();
        let (whole, begun) = (scores[0].to_f32(), scores[1].to_f32());
        assert_eq!(begun.len(), 4 * frames.count(31));
        let is_same = begun.iter().zip(&whole).all(|(a, b)| (a - b).abs() < 1e-5);
        assert_eq!(is_same, is_causal);
    }
}

/// A stream gives what its sound gives as a whole, in pieces of any lengths, also such as end no frame and such as are longer than what a frame sees.
#[test]
fn a_causal_model_reads_a_stream_in_pieces() {
    for left_context in [6, 0, 40] {
        let config = ConformerConfig { num_hidden_layers: 2, ..config(Some(left_context)) };
        let model = config.model().unwrap();
        let whole = sound(&[1, 2, 3], 7);
        let weights =
            |device: &Device| Store::upload(device, config.initial_weights(model.declarations(), 3)).unwrap();
        let mut encoder = SoundEncoder::with_store(&model, &weights(&Device::Cpu), DType::F32).unwrap();
        let wanted = encoder.run(&[&whole]).unwrap().remove(0).to_f32();
        for device in [Device::Cpu, gpu()] {
            let mut stream = SoundStream::new(&model, &weights(&device), DType::F32).unwrap();
            for _ in 0..2 {
                let mut found = Vec::new();
                let mut rest = &whole[..];
                for steps in [1, 5, 2, 9, 30, 3, 10] {
                    let piece;
                    (piece, rest) = rest.split_at(steps * BINS);
                    found.extend(stream.read(piece).unwrap().map_or_else(Vec::new, |scores| scores.to_f32()));
                }
                assert!(rest.is_empty());
                assert_eq!(found.len(), wanted.len());
                for (frame, (found, wanted)) in found.iter().zip(&wanted).enumerate() {
                    assert!((found - wanted).abs() < 1e-4, "{left_context}, {frame}: {found} {wanted}");
                }
                assert!(stream.read(&[0.0; 3]).unwrap_err().to_string().contains("rows of 8 numbers"));
                stream.reset().unwrap();
            }
        }
    }
    let model = config(None).model().unwrap();
    let weights = Store::upload(&Device::Cpu, config(None).initial_weights(model.declarations(), 3)).unwrap();
    let error = SoundStream::new(&model, &weights, DType::F32).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
}

/// Sounds of several lengths share a batch, which changes nothing but rounding.
#[test]
fn a_batch_gives_what_each_sound_gives_by_itself() {
    let mut encoder = fresh(None, &gpu());
    let sounds = [sound(&[1, 2, 3], 1), sound(&[3, 1, 2], 2)[..58 * BINS].to_vec()];
    let together = encoder.run(&sounds).unwrap();
    for (sound, together) in sounds.iter().zip(&together) {
        let alone = fresh(None, &Device::Cpu).run(&[sound]).unwrap().remove(0);
        assert_eq!(alone.shape(), together.shape());
        let error =
            alone.to_f32().iter().zip(together.to_f32()).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(error < 1e-4, "{error}");
    }
    let refused = |sound: Vec<f32>| encoder.run(&[sound]).unwrap_err().to_string();
    let mut refused = refused;
    assert!(refused(vec![0.0; 6 * BINS]).contains("sound 0: expected 7 to"));
    assert!(refused(vec![0.0; 9]).contains("rows of 8 numbers"));
    assert!(refused(vec![f32::NAN; 8 * BINS]).contains("finite numbers"));
}

#[test]
fn batches_without_an_alignment_are_refused() {
    let model = config(None).model().unwrap();
    let long = sound(&[1, 2, 3], 1);
    let refusal = |symbols: &[u32], steps: usize| {
        let utterance = Utterance { sound: &long[..steps * BINS], symbols };
        let error = ctc_inputs(&model, &[utterance], SoundBatch { batch: 1, ..SIZE }).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Argument);
        error.to_string()
    };
    assert!(refusal(&[1, 2, 3], 11).contains("target 0: expected at most what 2 frames can hold"));
    assert!(refusal(&[1, 0], 40).contains("other than the blank"));
    assert!(refusal(&[4], 40).contains("symbols below 4"));
    assert!(refusal(&[1], 6).contains("sound 0: expected 7 to 63 steps"));
    assert!(refusal(&[1, 2, 1, 2], 40).contains("at most 3 symbols"));
    let model = Model::from_config(
        &foveate::weights::Fields::new("config.json", config(None).to_json()).unwrap(),
        foveate::models::Task::Hidden,
    )
    .unwrap();
    let error = ctc_loss(&mut Graph::new(), &model, SIZE, DType::F32, None).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
}
