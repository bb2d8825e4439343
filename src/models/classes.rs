//! What Hugging Face's libraries call a model with a head: the class that `architectures` of a `config.json` names.

use super::{Task, heads_of};
use crate::weights::Fields;

/// The class of a configuration's model with the head of `task`: the one it names, where that has this head alone, else its family's.
pub(crate) fn class_for(fields: &Fields, task: Task, is_causal: bool) -> String {
    let listed = fields.get("architectures").and_then(|value| value.as_array());
    let named = listed.into_iter().flatten().filter_map(|name| name.as_str());
    if let Some(own) = named.clone().find(|class| heads_of(class) == [task]) {
        return own.to_owned();
    }
    let head = match task {
        Task::Embed | Task::Hidden => "Model",
        Task::Logits if is_causal => "LMHeadModel",
        Task::Logits => "ForMaskedLM",
        Task::Classify => "ForSequenceClassification",
        Task::Label => "ForTokenClassification",
        Task::Answer => "ForQuestionAnswering",
        Task::Pretrain => "ForPreTraining",
        Task::Transcribe => "ForCTC",
    };
    let stem = named.clone().find_map(|class| stem(class).map(str::to_owned));
    let family = stem.unwrap_or_else(|| family(fields.text("model_type").unwrap_or_default()));
    format!("{family}{head}")
}

/// What a class is called without its head.
fn stem(class: &str) -> Option<&str> {
    let heads = ["LMHeadModel", "WithLMHeadModel", "DoubleHeadsModel", "EncoderModel", "Model"];
    let without = heads.iter().find_map(|head| class.strip_suffix(head));
    without.or_else(|| class.find("For").map(|at| &class[..at])).filter(|stem| !stem.is_empty())
}

/// What classes of a family begin with: its words, each with a capital, but for those that are spelled otherwise.
fn family(model_type: &str) -> String {
    let spelled = [
        ("gpt2", "GPT2"),
        ("xlnet", "XLNet"),
        ("transfo-xl", "TransfoXL"),
        ("distilbert", "DistilBert"),
        ("mobilebert", "MobileBert"),
        ("squeezebert", "SqueezeBert"),
        ("convbert", "ConvBert"),
        ("roformer", "RoFormer"),
        ("layoutlm", "LayoutLM"),
        ("fnet", "FNet"),
        ("ctrl", "CTRL"),
        ("gpt_bigcode", "GPTBigCode"),
    ];
    if let Some((_, class)) = spelled.iter().find(|(known, _)| *known == model_type) {
        return (*class).to_owned();
    }
    let capital = |word: &str| {
        let mut letters = word.chars();
        letters.next().into_iter().flat_map(char::to_uppercase).chain(letters).collect::<String>()
    };
    model_type.split(['-', '_']).map(capital).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::weights::parse_json;

    #[test]
    fn classes_are_named_after_the_family_and_the_head() {
        let class = |json: &str, task, is_causal| {
            let fields = Fields::new("config.json", parse_json("config.json", json.as_bytes()).unwrap());
            class_for(&fields.unwrap(), task, is_causal)
        };
        let bert = r#"{"model_type": "bert", "architectures": ["BertForMaskedLM"]}"#;
        assert_eq!(class(bert, Task::Classify, false), "BertForSequenceClassification");
        assert_eq!(class(bert, Task::Logits, false), "BertForMaskedLM");
        let both = r#"{"model_type": "bert", "architectures": ["BertForPreTraining"]}"#;
        assert_eq!(class(both, Task::Logits, false), "BertForMaskedLM");
        let gpt = r#"{"model_type": "gpt2", "architectures": ["GPT2LMHeadModel"]}"#;
        assert_eq!(class(gpt, Task::Classify, true), "GPT2ForSequenceClassification");
        assert_eq!(class(r#"{"model_type": "gpt2"}"#, Task::Logits, true), "GPT2LMHeadModel");
        assert_eq!(
            class(r#"{"model_type": "deberta-v2"}"#, Task::Classify, false),
            "DebertaV2ForSequenceClassification"
        );
        let plain = r#"{"model_type": "roberta", "architectures": ["RobertaModel"]}"#;
        assert_eq!(class(plain, Task::Classify, false), "RobertaForSequenceClassification");
    }
}
