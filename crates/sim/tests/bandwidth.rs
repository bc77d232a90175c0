//! Meetings of every plan of bandwidth, each judged by what the network and the receivers saw (docs/allocation.md). A seed
//! that `make sim` finds to fail belongs here once it is mended.

use sim::plan::Plan;
use sim::search;

/// Seeds by plan.
#[rustfmt::skip]
const MEETINGS: [(Plan, &[u64]); 15] = [
    (Plan::Steady300, &[1000, 1015, 1030, 1045, 1060, 1075, 1090, 1105, 1120, 1135, 1150, 1165, 1180, 1195]),
    (Plan::Steady500, &[1001, 1016, 1031, 1046, 1061, 1091, 1121, 1136, 1151, 1181, 1211, 1226]),
    (Plan::Steady1000, &[1002, 1017, 1032, 1047, 1062, 1092, 1107, 1122, 1137, 1152, 1167, 1182, 1197, 1212]),
    (Plan::Steady2000, &[1003, 1018, 1033, 1048, 1063, 1078, 1093, 1108, 1123, 1138, 1168, 1183, 1198, 1213]),
    (Plan::Steady5000, &[1004, 1019, 1034, 1049, 1064, 1079, 1094, 1109, 1124, 1139, 1154, 1169, 1184, 1199]),
    (Plan::Down, &[1005, 1020, 1035, 1050, 1095, 1110, 1125, 1140, 1155, 1170, 1185, 1200, 1215, 1230]),
    (Plan::Up, &[1006, 1021, 1036, 1051, 1066, 1081, 1096, 1111, 1126, 1141, 1156, 1171, 1186, 1216]),
    (Plan::Loss2, &[1007, 1022, 1052, 1067, 1082, 1097, 1112, 1127, 1142, 1157, 1172, 1187, 1202, 1217]),
    (Plan::Loss10, &[1008, 1023, 1038, 1053, 1068, 1083, 1098, 1113, 1128, 1143, 1158, 1173, 1203, 1218]),
    (Plan::Loss20, &[1009, 1024, 1039, 1054, 1069, 1084, 1099, 1114, 1129, 1144, 1159, 1174, 1189, 1204]),
    (Plan::LossBursts, &[1010, 1025, 1040, 1055, 1070, 1085, 1100, 1115, 1130, 1145, 1160, 1175, 1190, 1205]),
    (Plan::Delay, &[1026, 1056, 1071, 1086, 1101, 1116, 1131, 1146, 1161, 1176, 1191, 1206, 1221, 1236]),
    (Plan::Outage, &[1012, 1027, 1042, 1057, 1072, 1087, 1102, 1117, 1132, 1147, 1162, 1177, 1192, 1207]),
    (Plan::Competing, &[1013, 1028, 1043, 1058, 1073, 1088, 1103, 1118, 1133, 1148, 1163, 1178, 1193, 1208]),
    (Plan::Office, &[1014, 1029, 1044, 1059, 1074, 1104, 1119, 1134, 1149, 1164, 1179, 1194, 1209, 1224]),
];

#[test]
fn lines_are_used_and_not_flooded_and_everybody_who_fits_is_seen_and_heard() {
    let pairs: Vec<(Plan, u64)> =
        MEETINGS.iter().flat_map(|(plan, seeds)| seeds.iter().map(|seed| (*plan, *seed))).collect();
    assert!(pairs.len() >= 200);
    let failures: Vec<String> = search::run(&pairs).iter().map(ToString::to_string).collect();
    assert!(failures.is_empty(), "{} of {} failed\n{}", failures.len(), pairs.len(), failures.join("\n"));
}
